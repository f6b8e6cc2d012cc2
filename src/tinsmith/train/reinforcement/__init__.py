"""Learning from sampled answers: rollouts, rewards and the loss."""
