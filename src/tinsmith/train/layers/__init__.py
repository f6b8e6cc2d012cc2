"""A network's layers as training computes them: over packed rows, in blocks of a GGUF file, on all cores."""
