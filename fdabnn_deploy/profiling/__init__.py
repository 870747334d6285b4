"""Measuring exported models: what they are compared with, and where their time goes."""
