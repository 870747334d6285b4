"""Operators made of several standard ones: the exact float layer, and the binary layer with its epilogue.

Passes make them; converters write them as one operator of their format, or as the standard operators that `decompose` gives.
"""

from fdabnn_deploy.ir.composites.binary_block import BinaryBlock
from fdabnn_deploy.ir.composites.composite import Composite, decompose
from fdabnn_deploy.ir.composites.exact_layer import ExactConv2d, ExactLayer, ExactLinear, OperandFormat

__all__ = [
    "BinaryBlock", "Composite", "ExactConv2d", "ExactLayer", "ExactLinear", "OperandFormat", "decompose",
]  # fmt: skip
