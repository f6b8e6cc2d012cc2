"""What training does for files whose weights are quantized."""
