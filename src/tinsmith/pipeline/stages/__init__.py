"""The stages: each a function of its inputs, a folder and a reporter. No stage imports another, or the run."""
