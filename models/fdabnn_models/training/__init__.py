"""Training, its recipes and its state."""
