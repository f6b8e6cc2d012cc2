"""Evaluation: the answers of shipped files and other systems, graded against the examples."""
