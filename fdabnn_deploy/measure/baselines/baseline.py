"""Baselines of a binary network: the network that its user would run without binarisation, to compare speed with.

`fp32` is the network in which every binary layer is a float32 layer of the same shape (`float32`), `int8` its quantised form
(`int8`). Both are made from the exported file alone, have its inputs and outputs, and run on the same runtime without our kernels.
The outputs of a baseline mean nothing; only its time counts. docs/baselines.md says which operator becomes which.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["fp32", "int8"]


@dataclass(frozen=True)
class BaselineLayer:
    """A binary layer of the model and the layer that stands for it in the baseline.

    Attributes:
        name: of the layer, as the model's file says it.
        model_op: index of its operator in the model: in the list of operators (TFLite) or of nodes (ONNX).
        model_tensor: name of the first tensor that this operator writes.
        model_node: name of this operator; TFLite's have none, there it is the tensor's.
        baseline_op: index of its operator in the baseline.
        baseline_tensor: name of the tensor that this operator writes.
        baseline_node: name of this operator, as above.
        macs: multiply-adds for one image, the same in both.
    """

    name: str
    model_op: int
    model_tensor: str
    model_node: str
    baseline_op: int
    baseline_tensor: str
    baseline_node: str
    macs: int


@dataclass(frozen=True)
class BaselineModel:
    """A baseline that was built from a model.

    Attributes:
        kind: "fp32" or "int8".
        path: its file.
        layers: every binary layer of the model, in the model's order.
        note: what it is, in one sentence for reports.
    """

    kind: Kind
    path: Path
    layers: tuple[BaselineLayer, ...]
    note: str
