"""The findings of `fdabnn-lint`, by code: the table of docs/lint.md.

The first figure of a code is its kind: 1 a layer is float, 2 a layer is slower than it could be, 3 something would be refused, 4 a note.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["float", "slow", "refused", "note"]


@dataclass(frozen=True)
class Code:
    """One kind of finding.

    Attributes:
        level: "float": a layer stays float; "slow": it takes longer than it has to; "refused": the export would end with exit code 3;
            "note": neither.
        meaning: in one sentence.
        change: what to write instead.
    """

    level: Level
    meaning: str
    change: str


_NOTHING = "nothing has to change"

CODES: dict[str, Code] = {
    "B101": Code(
        "float",
        "A layer stays float: neither its input nor its weight is a sign.",
        "binarise both, except in the first and the last layer",
    ),
    "B102": Code(
        "float",
        "A layer stays float: only its weight, or only its input, is binary.",
        "pass the other side through a sign, too",
    ),
    "B201": Code(
        "slow",
        "A layer becomes several binary layers, because a side of it has zeros or its input several bits.",
        "train with two values on each side",
    ),
    "B202": Code(
        "slow",
        "The input channels of a 1-bit layer are no multiple of 32: words of bits are filled up.",
        "choose a multiple of 32",
    ),
    "B203": Code(
        "slow",
        "A 1-bit convolution pads with zeros, which are no sign: the sums at the border have to be corrected.",
        "pad signs with ones, F.pad(x, (1, 1, 1, 1), value=1.0) in front of the convolution, or leave the padding out",
    ),
    "B204": Code(
        "slow",
        "The weights of a 1-bit layer have an offset: one more filter, and a sum.",
        "leave the offset to the norm behind the layer",
    ),
    "B205": Code(
        "slow",
        "A norm stands behind the PReLU of a 1-bit layer: two more passes on Larq Compute Engine, which takes a scale and an offset right "
        "behind its convolution.",
        "put the norm in front of the PReLU",
    ),
    "B301": Code("refused", "A statement cannot be deployed.", "the message says what to write instead"),
    "B302": Code(
        "refused",
        "A layer that is meant to be 1-bit would become float.",
        "the message says why; --allow-float names layers that may be float",
    ),
    "B303": Code(
        "refused",
        "The network cannot be followed, or has no 1-bit layer at all.",
        "the message says what to write instead",
    ),
    "B401": Code(
        "note",
        "A ReLU stands in front of a sign: all its signs are +1, or zeros.",
        "put the sign in front of the ReLU, or leave the ReLU out",
    ),
    "B402": Code(
        "note",
        "A 1-bit dense layer: Larq Compute Engine has none, and it is computed as a 1x1 convolution.",
        _NOTHING,
    ),
    "B403": Code("note", "Something is left out of the exported network.", _NOTHING),
}
