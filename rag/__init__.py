"""Permafrost answers questions from an organisation's own documents with a frozen local model.

Start at `assistant.py` for the story of a query, at `ingest/pipeline.py` for that of a document.
"""

__version__ = "0.1.0"
