"""TensorBoard files of a training run, where TensorBoard is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def board_path(out: Path) -> Path:
    """Folder of the files, beside the checkpoint."""
    return out.with_name(out.name + ".tensorboard")


class Board:
    """Writes a row per epoch: every column is a curve over the epochs. Without the package ``tensorboard`` it does nothing.

    Args:
        folder: of the files; made with the first row.
        enabled: False on the ranks after the first.
    """

    def __init__(self, folder: Path, *, enabled: bool = True) -> None:
        self.folder = folder
        self.enabled = enabled and importlib.util.find_spec("tensorboard") is not None
        self._writer: Any = None

    def add(self, row: Mapping[str, float]) -> None:
        """Append an epoch."""
        if not self.enabled:
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder))
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()
