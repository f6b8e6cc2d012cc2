"""What training begins with: a new model, or an adapter that was trained before."""
