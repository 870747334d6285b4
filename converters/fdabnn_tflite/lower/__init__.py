"""Rules from the graph's operators to TensorFlow's and LCE's, a family per file."""
