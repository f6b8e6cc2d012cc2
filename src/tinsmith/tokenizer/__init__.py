"""Text to tokens: vocabularies as files have them, and as the core has them."""
