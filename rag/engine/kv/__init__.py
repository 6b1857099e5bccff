"""Cached KV. Start at cache.py; fill.py uses it, layout.py knows the bytes, disk.py keeps them."""
