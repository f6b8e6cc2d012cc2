"""What is done with data before a recipe runs."""
