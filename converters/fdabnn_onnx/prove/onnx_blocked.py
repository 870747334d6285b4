"""The weights of ONNX Runtime's blocked convolutions (domain `com.microsoft.nchwc`).

At its highest level of optimisation ONNX Runtime keeps images as [N, C/b, H, W, b] with blocks of b channels, and stores filters as

- [O/b, I/b, kh, kw, b of I, b of O] (`OIHWBiBo`),
- [O/b, I, kh, kw, b of O] (`OIHWBo`) where an output channel sees fewer than b input channels: the first convolution, which reads an
  ordinary image, and depthwise convolutions.

Channels are filled up with zeros to whole blocks; the initialisers' stated shape stays [O, I, kh, kw].
Source: https://github.com/microsoft/onnxruntime, core/optimizer/nchwc_transformer.cc and core/mlas/lib/reorder.cpp.
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.prove.domain import Constants
from fdabnn_deploy.prove.rows import UnprovedError


def plain_filter(stored: Constants, block: int) -> Constants:
    """The filter [O, I, kh, kw] in its natural order.

    Raises:
        UnprovedError: its shape is no whole number of blocks.
    """
    outputs, inputs, height, width = stored.shape
    if outputs % block or (inputs >= block and inputs % block):
        raise UnprovedError(f"a blocked filter of shape {stored.shape} does not hold whole blocks of {block}")
    if inputs < block:
        parts = stored.reshape(outputs // block, inputs, height, width, block)
        return np.ascontiguousarray(parts.transpose(0, 4, 1, 2, 3)).reshape(stored.shape)
    parts = stored.reshape(outputs // block, inputs // block, height, width, block, block)
    return np.ascontiguousarray(parts.transpose(0, 5, 1, 4, 2, 3)).reshape(stored.shape)
