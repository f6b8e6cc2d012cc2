"""Calls of tools, in the forms that models write them in."""
