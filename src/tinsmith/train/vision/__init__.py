"""The vision model in torch, and the positions of its rows in a prompt."""
