"""Tokens from a frozen model. Start at generator.py for the role, at engine.py for the loop."""
