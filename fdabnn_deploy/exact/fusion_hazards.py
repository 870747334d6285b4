"""Fusions of runtimes and converters, as far as they were seen: those that the passes of this room avoid.

A fusion is a hazard where it moves a rounding: the fused kernel then gives other bits than the operators in a row. Each hazard says in
which versions it was seen, where the fusion is written, and what the passes do about it. The prover has a list of its own
(`fdabnn_deploy/prove/fusion.py`), made without a look at this one. docs/assumptions.md has both as a table.
"""

from __future__ import annotations

from dataclasses import dataclass

from fdabnn_deploy.ir.ops import BinaryConv2d, BinaryLinear, Clamp, Conv2d, Linear, Relu


@dataclass(frozen=True)
class Hazard:
    """A fusion that changes bits unless the graph is written so that it cannot.

    Attributes:
        runtime: who fuses.
        versions: in which it was seen.
        pattern: the operators in a row.
        effect: what the fused kernel computes instead.
        remedy: what the passes write so that the bits are equal.
        source: file of the runtime's own sources, or "observed".
    """

    runtime: str
    versions: str
    pattern: str
    effect: str
    remedy: str
    source: str


ACCUMULATE = Hazard(
    "ONNX Runtime",
    "1.17 to 1.32",
    "Conv -> Add of another tensor",
    "the convolution accumulates into that tensor, whose values are on no common grid: on aarch64 always, on x86-64 where both operands "
    "are results of convolutions",
    "`guard_sums` writes Sub(x, conv(-w))",
    "onnxruntime/core/optimizer/conv_add_act_fusion.cc",
)
FOLD_AFFINE = Hazard(
    "ONNX Runtime",
    "1.17 to 1.32",
    "Conv -> Mul or Add of a constant",
    "the constant is folded into weights and bias",
    "`exact_rules` puts both on a grid on which the folded sum is exact, else a clamp in between",
    "onnxruntime/core/optimizer/conv_mul_fusion.cc",
)
FOLD_BINARY_AFFINE = Hazard(
    "LCE converter",
    "0.16.0",
    "binary convolution -> Mul, Add of constants",
    "they become the layer's multiplier and bias",
    "as for Conv",
    "larq_compute_engine/mlir/transforms/optimize_patterns_common.td",
)
FOLD_ACTIVATION = Hazard(
    "LCE converter",
    "0.16.0",
    "layer -> ReLU -> Mul",
    "the activation becomes a part of the layer, and the factor then, too",
    "`exact_rules` puts a clamp behind the activation with limits that no runtime has an activation for",
    "larq_compute_engine/mlir/transforms/optimize_patterns_common.td",
)
MERGE_CONSTANTS = Hazard(
    "TensorFlow",
    "2.21",
    "(x + a) + b, (x * a) * b, x / c",
    "the constants are merged to one, a division becomes a multiplication",
    "the passes fold constants in float64 first and divide nothing",
    "tensorflow/core/grappler/optimizers/constant_folding.cc",
)
DROP_IDENTITY = Hazard(
    "TensorFlow",
    "2.21",
    "PReLU with slope 1",
    "it is removed, and what stood apart becomes neighbours",
    "`exact_rules` removes it first",
    "observed",
)
MOVE_ADDEND = Hazard(
    "TensorFlow Lite converter",
    "2.21",
    "Add of a constant -> convolution without padding",
    "the constant moves behind the convolution, as a part of its bias, and the sums are of larger numbers",
    "a clamp in between",
    "tensorflow/compiler/mlir/lite/transforms/optimize_patterns.td",
)
HAZARDS = (
    ACCUMULATE,
    FOLD_AFFINE,
    FOLD_BINARY_AFFINE,
    FOLD_ACTIVATION,
    MERGE_CONSTANTS,
    MOVE_ADDEND,
    DROP_IDENTITY,
)

FLOAT_LAYERS = (Conv2d, Linear)
"""Layers with float weights."""

BINARY_LAYERS = (BinaryConv2d, BinaryLinear)
"""Layers into which a scale and an offset are folded (`FOLD_BINARY_AFFINE`)."""

LAYERS = (*FLOAT_LAYERS, *BINARY_LAYERS)
"""Layers that take up an addition behind them (`ACCUMULATE`)."""

ACTIVATIONS = (Relu, Clamp)
"""Activations that become a part of the layer in front (`FOLD_ACTIVATION`)."""
