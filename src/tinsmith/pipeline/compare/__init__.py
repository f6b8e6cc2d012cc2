"""Compares prompted, retrieving and tuned systems on a recipe's test set, with a verdict whether to fine-tune.

The comparison's folder keeps each training as a run and the answers of each system, so that an interrupted
comparison resumes, and a finished one computes nothing again."""
