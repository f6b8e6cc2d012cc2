"""Prepares data before a recipe runs."""
