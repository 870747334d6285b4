"""Zeros at signs that are written with three values."""
