"""What each operator of a file does to the bounds and grids of its operands."""
