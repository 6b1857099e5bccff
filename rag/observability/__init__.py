"""What a running system tells its operator. Start at metrics.py; tracing.py follows one question."""
