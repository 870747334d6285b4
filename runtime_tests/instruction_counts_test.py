"""Instructions that the aarch64 kernels and whole models execute, against the table in tools/instruction_counts."""

from __future__ import annotations

import pytest

from fdabnn_deploy.errors import RuntimeMissingError, SlowerError
from fdabnn_deploy.measure.profiles.instruction_count import check_emulator
from fdabnn_deploy.native import instruction_count_path
from fdabnn_deploy.runtimes.emulator.arm_root import Guest
from fdabnn_deploy.system.programs_testing import skip
from instruction_counts import table
from instruction_counts.measure import Entry, count_kernels, count_models
from instruction_counts.model_files import Files

pytestmark = pytest.mark.programs

NOISE = 0.001
"""Of models, in which an interpreter and its memory take part. Kernels have none."""


@pytest.fixture(scope="module")
def guest(arm_guest: Guest) -> Guest:
    """The arm64 root; skips where the emulator loads no plugins."""
    try:
        check_emulator(arm_guest.qemu)
        instruction_count_path()
    except RuntimeMissingError as error:
        # CI must not skip what guards it.
        skip(str(error))
    return arm_guest


@pytest.fixture(scope="module")
def kernels(guest: Guest) -> dict[str, Entry]:
    return count_kernels(guest)


@pytest.fixture(scope="module")
def models(guest: Guest, resnet20_files: Files, vgg_small_files: Files) -> dict[str, Entry]:
    return count_models(guest, {"ResNet-20": resnet20_files, "VGG-small": vgg_small_files})


def test_nothing_executes_more_than_the_table_says(
    kernels: dict[str, Entry], models: dict[str, Entry]
) -> None:
    table.check(table.read(), kernels | models)


def test_kernels_execute_the_same_each_time(guest: Guest, kernels: dict[str, Entry]) -> None:
    assert count_kernels(guest) == kernels


def test_models_execute_the_same_each_time(
    guest: Guest, models: dict[str, Entry], resnet20_files: Files
) -> None:
    again = count_models(guest, {"ResNet-20": resnet20_files})
    assert len(again) == 2
    for name, entry in again.items():
        before = models[name].counts
        assert entry.counts.instructions == pytest.approx(before.instructions, rel=NOISE)


def test_slower_kernels_are_caught(guest: Guest, models: dict[str, Entry], resnet20_files: Files) -> None:
    slower = count_models(guest, {"ResNet-20": resnet20_files}, level="scalar")
    known = {name: entry for name, entry in table.read().items() if name in slower}
    with pytest.raises(SlowerError) as caught:
        table.check(known, slower)
    for runtime in ("LiteRT + delegate", "ONNX Runtime, packed"):
        before, after = (entries[f"ResNet-20, {runtime}"].counts.instructions for entries in (known, slower))
        assert f"ResNet-20, {runtime}: {before:,} instructions in the table, now {after:,} (+" in str(
            caught.value
        )
