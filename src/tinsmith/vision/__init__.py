"""Encoders, projectors and images: what a vision half is, in each kind of file and as a graph."""
