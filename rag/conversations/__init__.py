"""Conversations kept for their owners, and what they think of the answers. Start at shelf.py."""
