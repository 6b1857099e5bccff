"""Which model files may be used, and whether they run here. Start at lockfile.py."""
