"""Examples from a folder of documents: passages, a teacher's answers about them, and their checks."""
