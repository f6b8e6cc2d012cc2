"""What training starts from: a new model, or a trained adapter."""
