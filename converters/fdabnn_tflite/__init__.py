"""Writes deployed graphs as TFLite files with the binary operators of Larq Compute Engine."""
