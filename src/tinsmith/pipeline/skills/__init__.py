"""The run of a recipe of several tasks: a run for each task, and what is made of them together."""
