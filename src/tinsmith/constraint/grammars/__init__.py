"""Grammars as people write them: GBNF and Lark."""
