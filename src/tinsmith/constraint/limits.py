"""What compiling the constraint of one request may take: a client's of the server, or a row's of a batch.

A constraint that the owner of the machine gives, with an option or in a recipe, has no such limits."""

SCHEMA = 64 << 10  # bytes of a JSON Schema, or of all tools
AUTOMATON = 8 << 20  # bytes of what is compiled of it
SECONDS = 5.0
MEMORY = 2 << 30  # bytes of the process that compiles
