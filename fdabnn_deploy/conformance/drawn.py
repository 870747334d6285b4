"""Random cases: every operator with random parameters and sizes, which the operators draw themselves."""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.conformance.case import Case, make_case
from fdabnn_deploy.ir.ops import Op


def random_case(kind: type[Op], rng: np.random.Generator) -> Case:
    """A case of one of `KINDS` with random parameters and sizes."""
    op, shapes = kind.draw(rng)
    return make_case(f"{kind.__name__} random", op, shapes, rng)
