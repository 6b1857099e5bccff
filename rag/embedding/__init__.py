"""How text becomes vectors. Start at embedder.py, the role; dense.py and sparse.py do the work."""
