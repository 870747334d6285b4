"""Inputs of networks: images, labels, arrays, and the samples by which networks are compared."""
