"""Where documents come from. Start at folder.py."""
