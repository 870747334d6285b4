"""What is measured of ONNX files: their operators, and twins that they are compared with."""
