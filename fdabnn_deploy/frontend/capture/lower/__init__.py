"""One rule per ATen function, by kind; importing this registers them."""

from fdabnn_deploy.frontend.capture.lower import (
    dense,
    layers,
    pointwise,
    pooling,
    reductions,
    shape,
    upsampling,
)

__all__ = ["dense", "layers", "pointwise", "pooling", "reductions", "shape", "upsampling"]
