"""ONNX files with the packed operators of the domain `fdabnn` (docs/custom-ops.md)."""

from fdabnn_onnx.packed.build import build_packed
from fdabnn_onnx.packed.domain import DOMAIN, is_packed

__all__ = ["DOMAIN", "build_packed", "is_packed"]
