"""Limits of compiling the constraint of one request: from a client of the server, or a row of a batch.

A constraint from an option or a recipe has none of these limits."""

SCHEMA = 64 << 10  # bytes of a JSON Schema, or of all tools
AUTOMATON = 8 << 20  # bytes of the compiled constraint
SECONDS = 5.0
