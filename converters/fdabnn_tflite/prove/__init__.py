"""Reads TFLite files for the prover."""
