"""The choices of a sign for zeros at `torch.sign` in the deployed network: one bit has no 0."""

from __future__ import annotations

from typing import Literal

SignZero = Literal["plus", "minus", "exact"]
"""`plus`: +1, `minus`: -1, `exact`: 0, as the mean of two signs, `(Sign(x) - Sign(-x)) / 2`."""

CHOICES: tuple[SignZero, ...] = ("plus", "minus", "exact")
