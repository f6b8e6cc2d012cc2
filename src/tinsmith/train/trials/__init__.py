"""More runs than one of the same job: rates that are tried, and seeds that differ."""
