"""Tokenizers in files, and in the core's format."""
