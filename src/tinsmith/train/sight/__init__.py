"""What sees: a vision half in torch, and where its rows stand in a prompt."""
