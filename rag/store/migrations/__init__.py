"""How the database came to its present shape: one file per step in versions/. Start at upgrade.py."""
