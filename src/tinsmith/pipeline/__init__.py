"""What a recipe runs: `engine` runs the stages in `stages/`, which know neither it nor each other."""
