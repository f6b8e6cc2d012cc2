"""What shipped files and other systems answer, held to the examples: measured, never assumed."""
