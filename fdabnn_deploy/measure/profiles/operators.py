"""The operators of a model's file: the layer they belong to, and how many multiply-adds they stand for.

A convolution takes `H W O kh kw C / groups` multiply-adds for one image (H, W, O of its output), a dense layer `O C` per row. Those of a
binary layer are 1-bit ones: an exclusive or and a count.

In a file of this project the name of a tensor begins with the module of the network that it belongs to, `layer1.0.conv1/sign`: the
operators of a module are one layer, and a binary convolution belongs to the module whose signs it reads, in a packed ONNX file to that of
its filter, whatever was merged into it. In other files every operator is a layer, called by the tensor that it writes.
"""

from __future__ import annotations

from dataclasses import dataclass

OURS = "fdabnn_deploy_version"
"""Metadata that only files of this project have."""


@dataclass(frozen=True)
class Operator:
    """An operator of the file.

    Attributes:
        name: of the tensor it writes first.
        node: its own name, where the format gives it one.
        type: of the operator, such as `LceBconv2d`.
        layer: that it belongs to.
        macs: multiply-adds for one image, 0 for what is no convolution or dense layer.
        binary: whether they are 1-bit ones.
        packer: index of the operator that packs the signs which a binary layer reads, None where another layer gives them packed.
        reads: indices of the operators whose results it reads.
    """

    name: str
    node: str
    type: str
    layer: str
    macs: int = 0
    binary: bool = False
    packer: int | None = None
    reads: tuple[int, ...] = ()
