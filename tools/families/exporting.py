"""Exports a trained network of a family, and measures its file beside the same network in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

import fdabnn_deploy
from families import data
from families.document import Row
from families.families_list import Family
from fdabnn_deploy.measure.statistics import median, ratio

INPUTS = 200


def export(family: Family, out: Path, images: str | Path | None) -> Any:
    """The report of an export to both targets.

    Args:
        family: whose shipped network is exported.
        out: the folder of the files.
        images: a folder with CIFAR-10; without it images are random.
    """
    network = family.trained()
    example = torch.zeros(1, *family.shape)
    if family.data == "images":
        samples = f"random:{INPUTS}" if images is None else f"{images}:{INPUTS}"
        return fdabnn_deploy.export(
            network,
            example,
            targets="all",
            out=out,
            samples=samples,
            name=family.name,
            mean=data.MEAN,
            std=data.STD,
        )
    made = data.points if family.data == "points" else data.sounds
    inputs = np.ascontiguousarray(made(INPUTS, seed=1)[0].numpy())
    return fdabnn_deploy.export(network, example, targets="all", out=out, samples=inputs, name=family.name)


def measure(family: Family, out: Path, images: str | Path | None) -> Row:
    """The row of a family."""
    report = export(family, out, images)
    file = out / f"{family.name}.tflite"
    profile = fdabnn_deploy.profile(str(file), ["local"], threads=[1], baseline="fp32")
    (device,) = profile.devices
    pair = device.measurements[0]
    assert pair.baseline is not None
    expected = [layer for layer in report.coverage if layer.expected]
    return Row(
        title=family.title,
        idioms=family.idioms,
        binary=sum(layer.binary_layers > 0 for layer in expected),
        expected=len(expected),
        same=report.truth.agreement.same,
        inputs=report.truth.agreement.images,
        size=file.stat().st_size,
        float_size=profile.baseline.bytes if profile.baseline is not None else 0,
        time=ratio(median(pair.model.samples), median(pair.baseline.samples)) or float("nan"),
        differing=sum(row.comparison.differing for row in report.parity),
    )
