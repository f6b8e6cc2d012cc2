"""Adapters as files (peft's folders, GGUF, tins), prefixes, and the router that chooses among adapters."""
