"""The chat page: index.html, its script and its style, served as they lie here."""
