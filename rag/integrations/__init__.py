"""Adapters for other frameworks, one file per framework."""
