"""Writes deployed graphs as TFLite files with the binary operators of Larq Compute Engine.

TensorFlow is imported when something is converted, not before.
"""

from fdabnn_tflite.convert import TfliteConverter

CONVERTER = TfliteConverter()

__all__ = ["CONVERTER", "TfliteConverter"]
