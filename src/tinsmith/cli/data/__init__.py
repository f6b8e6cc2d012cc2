"""tinsmith data: what is done with examples before a recipe runs."""

HELP = "examples: check them for faults, and write a cleaned copy"
SECTION = "begin"
