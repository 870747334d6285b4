"""One rule per ATen function, by kind; importing this registers them."""

from fdabnn_deploy.frontend.capture.lower import (
    assignments,
    conv_norm,
    dense,
    pointwise,
    pooling,
    reductions,
    shape,
    stacks,
    upsampling,
)

__all__ = [
    "assignments",
    "conv_norm",
    "dense",
    "pointwise",
    "pooling",
    "reductions",
    "shape",
    "stacks",
    "upsampling",
]
