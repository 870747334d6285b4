"""Rules from the graph's operators to ONNX's, a family per file."""
