"""Writes TFLite files straight from the deployed graph, without TensorFlow."""

from fdabnn_tflite.writer.write import write_flatbuffer

__all__ = ["write_flatbuffer"]
