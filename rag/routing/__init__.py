"""Which tier answers a question. Start at router.py."""
