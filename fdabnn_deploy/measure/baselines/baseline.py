"""The twins of a binary network: what its user would run without binarisation, to compare speed with.

`fp32` is the network in which every binary layer is a float32 layer of the same shape (`twin_fp32`), `int8` its quantised form
(`twin_int8`). Both are made from the exported file alone, have its inputs and outputs, and run on the same runtime without our kernels.
What a twin computes means nothing; how long it takes does. docs/baselines.md says what becomes of what.

(The twins of `fdabnn_deploy.verify.layer_checks` are others: binary layers alone, to verify each.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["fp32", "int8"]


@dataclass(frozen=True)
class TwinLayer:
    """A binary layer of the model and the layer that stands for it in the twin.

    Attributes:
        name: of the layer, as the model's file says it.
        model_op: index of its operator in the model: in the list of operators (TFLite) or of nodes (ONNX).
        model_tensor: name of the first tensor that this operator writes.
        model_node: name of this operator; TFLite's have none, there it is the tensor's.
        twin_op: index of its operator in the twin.
        twin_tensor: name of the tensor that this operator writes.
        twin_node: name of this operator, as above.
        macs: multiply-adds for one image, the same in both.
    """

    name: str
    model_op: int
    model_tensor: str
    model_node: str
    twin_op: int
    twin_tensor: str
    twin_node: str
    macs: int


@dataclass(frozen=True)
class Twin:
    """A twin.

    Attributes:
        kind: "fp32" or "int8".
        path: its file.
        layers: every binary layer of the model, in the model's order.
        note: what it is, in one sentence for reports.
    """

    kind: Kind
    path: Path
    layers: tuple[TwinLayer, ...]
    note: str
