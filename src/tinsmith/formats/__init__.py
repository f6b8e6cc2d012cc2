"""Model files: each module reads and writes one format, and knows nothing of what the bytes mean."""
