"""Writes deployed graphs as ONNX files of standard operators."""
