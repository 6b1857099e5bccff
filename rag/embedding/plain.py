"""The folders that need no library: a BERT, the mean of its tokens, and nothing else said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from rag.embedding.bert import Bert, mean_of_tokens
from rag.embedding.files import modules_of, said
from rag.embedding.model import Model
from rag.errors import ModelError

MODULES = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
MEAN = ({"pooling_mode_mean_tokens": True}, {"pooling_mode": "mean"})
KIND: dict[str, Any] = {"model_type": "bert", "architectures": ["BertModel"], "hidden_act": "gelu"}
SIZES = frozenset(
    {
        "hidden_size",
        "intermediate_size",
        "layer_norm_eps",
        "max_position_embeddings",
        "num_attention_heads",
        "num_hidden_layers",
        "type_vocab_size",
        "vocab_size",
    }
)
# Of training, of history, or of padding, which the mean leaves out.
IDLE = frozenset(
    {
        "_name_or_path",
        "attention_probs_dropout_prob",
        "classifier_dropout",
        "dtype",
        "gradient_checkpointing",
        "hidden_dropout_prob",
        "initializer_range",
        "pad_token_id",
        "position_embedding_type",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
# A prompt goes before the text, as everywhere; how vectors are compared is not asked of the model here.
ABOUT = frozenset({"__version__", "default_prompt_name", "model_type", "prompts", "similarity_fn_name"})


def load(folder: Path) -> Model | None:
    """The model of a folder in float32 on the CPU; None: not of this kind. ModelError: damaged weights."""
    try:
        if not is_plain(folder):
            return None
        config = said(folder / "config.json")
        encoder = Bert(config, load_file(folder / "model.safetensors"))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        # What is missing here may be elsewhere; the library knows, and says so if not.
        return None
    except SafetensorError as error:
        raise ModelError(f"the weights in {folder} are damaged: {error}; fetch the model again") from None
    return Model(
        modules=(encoder, mean_of_tokens),
        encoder=encoder,
        pad=0,
        dim=config["hidden_size"],
        library=f"torch {torch.__version__}",
    )


def is_plain(folder: Path) -> bool:
    """Whether every file says what is expected and no more. KeyError, ValueError or TypeError: neither."""
    modules = modules_of(folder)
    kinds = [each["type"].rsplit(".", 1)[-1] for each in modules]
    if kinds not in MODULES or not all(each["type"].startswith("sentence_transformers.") for each in modules):
        return False
    pooling = said(folder / modules[1]["path"] / "config.json")
    config = said(folder / "config.json")
    return (
        modules[0]["path"] == ""
        and not (folder / "adapter_config.json").exists()
        and said(folder / "sentence_bert_config.json").keys() <= {"max_seq_length", "do_lower_case"}
        and said(folder / "config_sentence_transformers.json").keys() <= ABOUT
        and {key: value for key, value in pooling.items() if key.startswith("pooling") and value} in MEAN
        # Vectors are made unit length in any case, so that module has only to stand in its usual place.
        and all(
            set(said(folder / each["path"] / "config.json").values()) <= {"sentence_embedding"}
            for each in modules[2:]
        )
        and config.keys() <= SIZES | KIND.keys() | IDLE
        and {key: config[key] for key in KIND} == KIND
        and config.get("position_embedding_type", "absolute") == "absolute"
    )
