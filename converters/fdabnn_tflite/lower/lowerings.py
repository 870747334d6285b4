"""Which function writes which operator in TFLite."""

from __future__ import annotations

from fdabnn_deploy.targets.lowerings import Lowerings

LOWERINGS = Lowerings()
lowers = LOWERINGS.lowers
