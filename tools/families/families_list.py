"""The families, and where their trained networks lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from families import branches, classic, residual, sequences

CHECKPOINTS = Path(__file__).resolve().parents[2] / "models" / "checkpoints" / "families"


@dataclass(frozen=True)
class Family:
    """Networks that are written alike.

    Attributes:
        name: of its checkpoint.
        title: as the document calls it.
        make: an untrained network.
        data: what it is trained on.
        idioms: what is special in how it is written.
    """

    name: str
    title: str
    make: Callable[[], nn.Module]
    data: Literal["images", "points", "sound"]
    idioms: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return {"images": (3, 32, 32), "points": (3, 64), "sound": (1, 512)}[self.data]

    def trained(self) -> nn.Module:
        """The shipped network, in eval mode."""
        network = self.make()
        network.load_state_dict(torch.load(CHECKPOINTS / f"{self.name}.pt", weights_only=True))
        return network.eval()


FAMILIES = (
    Family("bireal", "Bi-Real", partial(residual.residual, residual.bireal), "images", "a shortcut per layer, polynomial estimator"),
    Family("react_resnet", "ReActNet (ResNet)", residual.react_resnet, "images", "learnable shifts by expand_as, RPReLU"),
    Family("react_mobilenet", "ReActNet (MobileNet)", branches.react_mobilenet, "images", "two 1x1 layers joined where channels double"),
    Family("irnet", "IR-Net", partial(residual.residual, residual.irnet), "images", "standardised weights, scales 2^n, tanh estimator"),
    Family("recu", "ReCU", partial(residual.residual, residual.recu), "images", "weights between quantiles"),
    Family("xnornet", "XNOR-Net", classic.xnornet, "images", "scales of the input: mean abs(x), averaged"),
    Family("binarynet", "BinaryNet", classic.binarynet, "images", "assignments to .data, weight.org, 5x5, dense layers, LogSoftmax"),
    Family("adabin", "AdaBin", partial(residual.residual, residual.AdaBinConv), "images", "two-point sets on both sides"),
    Family("dorefa", "DoReFa, 1 bit", classic.dorefa, "images", "activations of 0 and 1"),
    Family("mended", "bitorch", classic.mended, "images", "y[y == 0] = 1, padding with -1"),
    Family("densenet", "BinaryDenseNet, MeliusNet", branches.densenet, "images", "concatenation, slices, improvement blocks"),
    Family("gated", "BNext, gates that clamp", residual.gated, "images", "squeeze and excitation, branch on a buffer"),
    Family("ternary", "ternary weights", partial(residual.residual, residual.ternary), "images", "two binary layers each"),
    Family("pointnet", "PointNet", sequences.pointnet, "points", "1-D layers, maximum over points, log_softmax"),
    Family("audio", "1-D audio", sequences.audio, "sound", "1-D layers, strides, pools"),
)  # fmt: skip
