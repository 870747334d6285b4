"""Finds what cannot be deployed and says what to write instead."""
