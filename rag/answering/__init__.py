"""What of the documents answers, and whether it is supported. Start at quotes.py."""
