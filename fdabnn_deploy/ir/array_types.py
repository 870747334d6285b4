"""Types of arrays, of their shapes and of pairs of sizes, as operators and passes name them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
Pair = tuple[int, int]
"""One number for the height and one for the width."""
FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
Array = NDArray[Any]
