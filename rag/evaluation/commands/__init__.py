"""The commands of `rag eval` beside chunk-cache. Start at quality.py."""
