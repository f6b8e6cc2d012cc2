"""From a grammar to the push-down automaton that the C core walks."""
