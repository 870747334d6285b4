"""Chosen cases: the corners of every operator, which stand beside the operators."""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.conformance.case import KINDS, Case, make_case


def chosen_cases() -> list[Case]:
    """Corners of every operator, the same on every call."""
    rng = np.random.default_rng(0)
    return [make_case(name, op, shapes, rng) for kind in KINDS for name, op, shapes in kind.corners(rng)]
