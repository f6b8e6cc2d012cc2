"""What a step reads: examples as token sequences, in batches that lie in one row or side by side."""
