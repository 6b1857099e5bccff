"""The commands that feed the index."""
