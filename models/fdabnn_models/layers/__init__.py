"""Layers of FDA-BNN for training."""
