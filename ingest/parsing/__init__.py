"""From bytes to blocks. Start at parser.py; isolation.py runs it where it can do no harm."""
