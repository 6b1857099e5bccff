"""The service over HTTP. Start at app.py."""
