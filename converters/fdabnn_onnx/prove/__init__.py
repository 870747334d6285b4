"""Reads ONNX files for the prover: what ONNX Runtime makes of them on this machine."""
