"""Formats of model files: each module reads and writes one."""
