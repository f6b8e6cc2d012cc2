"""A step's input: examples as token sequences, in batches packed into one row or padded side by side."""
