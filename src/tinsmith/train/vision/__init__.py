"""The vision model in torch, and the places of its rows in a prompt."""
