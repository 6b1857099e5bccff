"""Questions that a table answers, computed from its cells. Start at reckoner.py."""
