"""Adapters as files: peft's folders, GGUF, our own; prefixes; and the router that chooses among adapters."""
