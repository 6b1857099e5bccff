"""Who asks and what they may do. Start at authentication.py."""
