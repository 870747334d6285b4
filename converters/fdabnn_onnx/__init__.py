"""Writes deployed graphs as ONNX files of standard operators."""

from fdabnn_onnx.converter import OnnxConverter

CONVERTER = OnnxConverter()
"""Found through the entry point group `fdabnn_deploy.converters`."""

__all__ = ["CONVERTER", "OnnxConverter"]
