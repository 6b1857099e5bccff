"""Where documents come from. Start at source.py."""
