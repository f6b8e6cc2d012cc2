"""Encoders, projectors and images: what a vision model is, in each kind of file and as a graph."""
