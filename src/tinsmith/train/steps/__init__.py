"""One run, step by step: its loop and its state."""
