"""The record of the choices that made a graph exact, small enough to travel in the metadata of every exported file.

The choices depend on data (recorded ranges, samples); everything else follows from them and the checkpoint. So a checkpoint and this
record give the same graph again, bit for bit, without the data.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

from fdabnn_deploy.ir.sign_zero import CHOICES, SignZero

Mode = Literal["exact", "float"]
MOST_BITS = 24
PARTS = (1, 2, 3, 4, 5, 6)
"""How many exact sums a reduction may be made of."""
KEY = "numerics"
"""Of the record in a file's metadata."""


@dataclass(frozen=True)
class Cut:
    """Limits and grid of the operand of one reduction.

    Attributes:
        low: smallest value kept, as are the others a float32 value.
        high: largest value kept.
        exponent: the operand, or its first slice, is rounded to multiples of `2^-exponent`; None where it stays as it comes.
        parts: exact sums that make the result, a key of `plan.PRODUCTS`.
        bits: of a slice of the weights, None where only the bound of its sums limits them, as in records of earlier versions.
    """

    low: float
    high: float
    exponent: int | None
    parts: int = 1
    bits: int | None = None

    def to_list(self) -> list[object]:
        """For JSON."""
        values: list[object] = [self.low, self.high, self.exponent, self.parts]
        return values if self.bits is None else [*values, self.bits]


@dataclass(frozen=True)
class Numerics:
    """The record.

    Attributes:
        mode: `exact` promises equal bits on every runtime, `float` keeps the trained weights and promises nothing.
        cuts: per reduction (or graph input), by the name of its tensor in the float graph.
        sign_zero: what a zero counts as at a sign that is written so that it stays 0.
    """

    mode: Mode = "float"
    cuts: dict[str, Cut] = field(default_factory=dict)
    sign_zero: SignZero = "plus"

    def to_text(self) -> str:
        """JSON on one line, keys in the order of computation; the same record gives the same text."""
        content: dict[str, object] = {
            "mode": self.mode,
            "cuts": {name: cut.to_list() for name, cut in self.cuts.items()},
        }
        if self.sign_zero != "plus":
            content["sign_zero"] = self.sign_zero
        return json.dumps(content, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Numerics:
        """Reads what `to_text` wrote.

        Raises:
            ValueError: the text is no record.
        """
        try:
            content = json.loads(text)
            mode = content["mode"]
            cuts = {str(name): _cut(values) for name, values in content["cuts"].items()}
            sign_zero = content.get("sign_zero", "plus")
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a numerics record: {error}") from None
        if mode not in ("exact", "float"):
            raise ValueError(f"not a numerics record: mode {mode!r}")
        if sign_zero not in CHOICES:
            raise ValueError(f"not a numerics record: sign_zero {sign_zero!r}")
        return cls(mode, cuts, sign_zero)


def _cut(values: object) -> Cut:
    if not isinstance(values, list) or len(values) not in (4, 5):
        raise ValueError(f"not a numerics record: cut {values!r}")
    low, high, exponent, parts, *rest = values
    if rest and (type(rest[0]) is not int or not 2 <= rest[0] <= MOST_BITS):
        raise ValueError(f"not a numerics record: weights of {rest[0]!r} bits")
    if not (isinstance(low, int | float) and isinstance(high, int | float) and low <= high):
        raise ValueError(f"not a numerics record: limits {low!r}, {high!r}")
    if not (exponent is None or type(exponent) is int) or parts not in PARTS or type(parts) is not int:
        raise ValueError(f"not a numerics record: grid {exponent!r}, {parts!r} parts")
    return Cut(float(low), float(high), exponent, parts, *rest)
