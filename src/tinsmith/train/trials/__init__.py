"""Several runs of one job: trials of learning rates, and different seeds."""
