"""How each operator is written, one file per family; the files register their functions."""

from fdabnn_onnx.lower import binary, conv, grid, layout, pixels, pointwise, pooling
from fdabnn_onnx.lower.lowerings import LOWERINGS

__all__ = ["LOWERINGS", "binary", "conv", "grid", "layout", "pixels", "pointwise", "pooling"]
