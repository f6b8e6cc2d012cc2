"""What a recipe runs: the only code that knows a Run. A stage is a module here, and a line of stages.py."""
