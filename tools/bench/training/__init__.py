"""Training speed."""
