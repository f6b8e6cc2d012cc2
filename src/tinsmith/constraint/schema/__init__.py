"""JSON Schema: from documents to shapes, and from shapes to expressions of JSON."""
