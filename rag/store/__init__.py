"""Where vectors and documents are kept. Start at catalog.py."""
