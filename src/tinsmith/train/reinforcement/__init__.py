"""Learning from answers that the model draws: rollouts, what they are worth, and the loss."""
