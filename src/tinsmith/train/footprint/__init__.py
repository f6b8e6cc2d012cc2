"""The memory that training takes: what there is, what will be held, and how it is made less."""
