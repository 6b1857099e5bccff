"""The commands that look after accounts. Start at keys.py."""
