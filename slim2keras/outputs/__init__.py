"""Model files: formats, writing, loading, and what may be in them."""
