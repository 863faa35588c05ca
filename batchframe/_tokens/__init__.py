"""Count the input tokens of a request body."""
