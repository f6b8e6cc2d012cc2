"""The memory of training: available, predicted and reduced."""
