"""Fine-tuning: LoRA adapters on a base model, and merging them into it."""
