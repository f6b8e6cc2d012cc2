"""Layers as training computes them: over packed rows, in a GGUF file's blocks, on all cores."""
