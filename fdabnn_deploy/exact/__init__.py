"""Numerics of a deployed graph: what makes every runtime compute the same bits, and the record of what was chosen."""
