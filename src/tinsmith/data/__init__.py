"""Examples and how a model sees them: readers, tasks, chat templates, splits."""
