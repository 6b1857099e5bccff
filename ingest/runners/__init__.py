"""Who does the work of a run. Start at local.py."""
