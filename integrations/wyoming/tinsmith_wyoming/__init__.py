"""A tinsmith model as a Wyoming service: what is said becomes an intent, or an answer."""
