"""Conversations as text: chat templates, the turns that they write, formats of tool calls."""
