"""Profiles for people: tables, charts, the HTML report, and comparisons of two."""
