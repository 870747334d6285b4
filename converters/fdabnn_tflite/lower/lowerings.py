"""Which function writes which operator in TFLite."""

from __future__ import annotations

from fdabnn_deploy.targets.lowering_table import Lowerings

LOWERINGS = Lowerings()
lowers = LOWERINGS.lowers
