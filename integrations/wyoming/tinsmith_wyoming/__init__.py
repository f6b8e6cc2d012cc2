"""A tinsmith model as a Wyoming service: turns messages into intents or answers."""
