"""Training for files with quantized weights."""
