"""The base in torch, with what is trained on it."""
