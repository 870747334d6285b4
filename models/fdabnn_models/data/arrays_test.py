from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fdabnn_models.data import cifar10
from fdabnn_models.data.dataset import input_range, normalise


def test_normalised_values_and_their_range() -> None:
    images = torch.tensor([[[[0, 255, 128]]], [[[255, 0, 0]]]], dtype=torch.uint8)
    got = normalise(images, cifar10.MEAN, cifar10.STD)
    assert got.shape == (2, 3, 1, 1)
    for channel, value in enumerate((0, 255, 128)):
        expected = (value / 255 - cifar10.MEAN[channel]) / cifar10.STD[channel]
        assert got[0, channel].item() == pytest.approx(expected, abs=1e-6)
    low, high = input_range(cifar10.MEAN, cifar10.STD)
    every = normalise(
        torch.arange(256, dtype=torch.uint8).view(1, -1, 1, 1).expand(1, -1, 1, 3), cifar10.MEAN, cifar10.STD
    )
    assert every.min().item() == pytest.approx(low, abs=1e-6)
    assert every.max().item() == pytest.approx(high, abs=1e-6)


def test_batches_are_crops_and_flips_of_their_images(tiny_cifar: Path) -> None:
    data = cifar10.load_cifar10(tiny_cifar)
    batches = data.batches(16, seed=1)
    order = batches.order(0)
    assert sorted(order.tolist()) == list(range(80))
    inputs, labels = batches.batch(0, 2, order)
    index = order[32:48]
    assert torch.equal(labels, data.train_labels[index])
    padded = torch.nn.functional.pad(data.train_images[index], (4, 4, 4, 4))
    seen = set()
    for image, source in zip(inputs, padded, strict=True):
        found = [
            (row, column, flip)
            for row in range(9) for column in range(9) for flip in (False, True)
            if torch.equal(image, cut(source, row, column, flip))
        ]  # fmt: skip
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 8
    assert {flip for _, _, flip in seen} == {False, True}


def test_batches_without_crop_keep_every_image_in_its_place(tiny_cifar: Path) -> None:
    data = cifar10.load_cifar10(tiny_cifar)
    batches = data.batches(16, seed=1)
    order = batches.order(0)
    inputs, labels = batches.batch(0, 0, order, crop=False)
    assert torch.equal(labels, data.train_labels[order[:16]])
    flips = set()
    for image, source in zip(inputs, data.train_images[order[:16]], strict=True):
        (flip,) = (flip for flip in (False, True) if torch.equal(image, cut(source, 0, 0, flip)))
        flips.add(flip)
    assert flips == {False, True}


def cut(source: torch.Tensor, row: int, column: int, flip: bool) -> torch.Tensor:
    window = source[:, row : row + 32, column : column + 32]
    return normalise((window.flip(-1) if flip else window).permute(1, 2, 0)[None], cifar10.MEAN, cifar10.STD)[
        0
    ]


def test_batches_depend_on_seed_epoch_and_step_alone(tiny_cifar: Path) -> None:
    data = cifar10.load_cifar10(tiny_cifar)

    def inputs(seed: int, epoch: int, step: int) -> torch.Tensor:
        batches = data.batches(16, seed=seed)
        return batches.batch(epoch, step, batches.order(epoch))[0]

    assert torch.equal(inputs(1, 2, 3), inputs(1, 2, 3))
    for other in ((0, 2, 3), (1, 1, 3), (1, 2, 2)):
        assert not torch.equal(inputs(1, 2, 3), inputs(*other))


def test_ranks_share_the_global_batch(tiny_cifar: Path) -> None:
    data = cifar10.load_cifar10(tiny_cifar)
    batches = data.batches(16, seed=1)
    order = batches.order(0)
    inputs, labels = batches.batch(0, 1, order)
    for rank in range(2):
        part, part_labels = batches.batch(0, 1, order, rank, 2)
        assert torch.equal(part, inputs[rank::2])
        assert torch.equal(part_labels, labels[rank::2])


def test_digest_knows_every_byte_and_the_normalisation(tiny_cifar: Path) -> None:
    data = cifar10.load_cifar10(tiny_cifar)
    first = data.digest()
    assert cifar10.load_cifar10(tiny_cifar).digest() == first
    assert data.with_normalisation((0.5, 0.5, 0.5), (0.2, 0.2, 0.2)).digest() != first
    data.test_images[-1, -1, -1, -1] ^= 1
    assert data.digest() != first
