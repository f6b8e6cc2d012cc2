"""The base in torch, with its trained parts."""
