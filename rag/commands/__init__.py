"""The commands that ask and serve. Start at asking.py; rag/cli.py says which there are."""
