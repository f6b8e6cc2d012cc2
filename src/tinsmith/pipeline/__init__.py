"""Runs recipes: `engine` runs the stages in `stages/`, which import neither the engine nor each other."""
