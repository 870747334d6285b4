"""Baselines for a binary network's speed: the same network in float32 and in int8, made from its exported file."""
