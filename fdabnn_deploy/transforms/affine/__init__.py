"""Passes over scales, offsets and norms."""
