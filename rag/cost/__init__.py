"""What an answer costs. Start at meter.py."""
