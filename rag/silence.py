"""Switches off what our dependencies would tell the outside world. Every process of ours calls it first."""

from __future__ import annotations

import os

# unstructured reports at import, LangSmith traces when a variable says so, Hugging Face looks for updates.
# The tracing variables are overwritten, not defaulted: an inherited `true` would send prompts away.
QUIET = {
    "DO_NOT_TRACK": "1",
    "SCARF_NO_ANALYTICS": "true",
    "UNSTRUCTURED_DISABLE_NOTICE": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "LANGSMITH_TRACING_V2": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING": "false",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}


def silence() -> None:
    """Set every variable of QUIET. Call it before the first heavy import."""
    os.environ.update(QUIET)
