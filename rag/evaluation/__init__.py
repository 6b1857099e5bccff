"""Whether search, answers and models are good enough. Start at commands/quality.py."""
