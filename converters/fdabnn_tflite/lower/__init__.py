"""How each operator is emitted, one file per family; the files register their functions."""

from fdabnn_tflite.lower import binary, conv, grid, layout, pixels, pointwise, pooling
from fdabnn_tflite.lower.lowerings import LOWERINGS

__all__ = ["LOWERINGS", "binary", "conv", "grid", "layout", "pixels", "pointwise", "pooling"]
