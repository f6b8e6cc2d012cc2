"""Finite automata over bytes and code points: sets of characters, patterns, numbers."""
