"""One run, step by step: its loop, and what is kept of it."""
