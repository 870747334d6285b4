"""The neutral form of a file that the prover judges: what the readers of ONNX and TFLite produce.

Kinds of steps and their attributes:

| kind | inputs | attributes |
|------|--------|------------|
| `linear` | x, [residual] | `weight` float32 [O, I / groups, taps], `bias` [O] or None, `groups`, channel `axis`, `windows` or None |
| `dense` | x | `weight` float32 [O, I, 1], `bias`, `keep`: whether the dimensions in front of the last stay |
| `bconv` | packed x | `weight` int32 [O, taps, words], `channels`, `multiplier`, `bias`, `thresholds`, `windows`, `zeros`, `groups` |
| `add`, `sub`, `mul`, `max`, `min` | a, b | |
| `clip` | x | `low`, `high` |
| `relu`, `neg`, `round`, `quantize` | x | |
| `cast` | x, integers or floats, to float32 | |
| `prelu` | x | `slope` |
| `compare` | x, limit | `relation` |
| `select` | comparison, a, b | |
| `sum`, `mean` | x | `axes`, `keep` |
| `average` | x | `windows`, `count_padding` |
| `maximum` | x | `windows` |
| those that move values | x | see `prove.transfer.move` |
| `unknown` | ... | `reason` |
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fdabnn_deploy.prove.domain import Constants, Shape


@dataclass(frozen=True)
class Step:
    """One operator.

    Attributes:
        op: its name in the file.
        kind: one of the module's table.
        inputs: names of tensors, computed or constant.
        output: name of the tensor it makes.
        attributes: see the module's table.
        activation: of the same operator, applied to its result: (low, high) limits, a slope, or None.
    """

    op: str
    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any] = field(default_factory=dict)
    activation: tuple[float, float] | float | None = None


@dataclass(frozen=True)
class Program:
    """A file in neutral form.

    Attributes:
        inputs: shapes of the input tensors by name.
        constants: by name.
        steps: in the order they run.
        outputs: names of the output tensors.
        labels: names for readers.
        pixels: the inputs that hold bytes 0 .. 255; all others hold float32.
    """

    inputs: dict[str, Shape]
    constants: dict[str, Constants]
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    labels: dict[str, str] = field(default_factory=dict)
    pixels: frozenset[str] = frozenset()
