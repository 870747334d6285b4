"""Passes over signs, comparisons and binary layers."""
