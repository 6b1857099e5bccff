"""Which passages a question gets. Start at retriever.py."""
