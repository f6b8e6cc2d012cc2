"""Towers, connectors and pictures: what a vision half is, in each kind of file and as a graph."""
