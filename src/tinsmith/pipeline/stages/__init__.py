"""The stages: each a function of its inputs, a folder and a reporter. None knows another, or the run."""
