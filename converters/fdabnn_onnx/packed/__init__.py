"""ONNX files with the packed operators of the domain `fdabnn` (docs/custom-ops.md)."""

from fdabnn_onnx.packed.build_packed import build_packed
from fdabnn_onnx.packed.operator_domain import DOMAIN, is_packed

__all__ = ["DOMAIN", "build_packed", "is_packed"]
