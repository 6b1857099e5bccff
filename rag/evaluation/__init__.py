"""Measurements that decide what the engine may do. Start at chunk_cache.py."""
