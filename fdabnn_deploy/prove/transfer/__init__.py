"""Transfer functions: from the bounds and grids of an operator's operands to those of its result."""
