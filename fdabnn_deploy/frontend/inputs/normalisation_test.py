from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.frontend.checkpoint.dialects import recognise
from fdabnn_deploy.frontend.inputs.description import describe_model
from fdabnn_deploy.frontend.inputs.normalisation import (
    as_options,
    configuration_of,
    divided,
    fits_bytes_only,
    of_configuration,
    on_unit_scale,
    takes_images,
)
from fdabnn_deploy.ir.model_info import ModelInfo

BYTES = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
UNIT = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CONFIG = (
    "img_norm_cfg = dict(\n    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)\n"
)


@pytest.mark.parametrize(
    ("mean", "std", "unit_mean", "unit_std"),
    [
        (*BYTES, *UNIT),
        ((123.675, 116.28, 103.53), (1, 1, 1), UNIT[0], (1 / 255,) * 3),
        ((0, 0, 0), (255, 255, 255), (0, 0, 0), (1, 1, 1)),
        (UNIT[0], BYTES[1], UNIT[0], UNIT[1]),
        (BYTES[0], UNIT[1], UNIT[0], UNIT[1]),
        ((33.3,), (78.6,), (33.3 / 255,), (78.6 / 255,)),
        ((0.5, 1.01, 0.5), (0.5, 0.5, 0.5), (0.5 / 255, 1.01 / 255, 0.5 / 255), (0.5, 0.5, 0.5)),
    ],
)
def test_numbers_that_only_fit_bytes_are_divided(
    mean: tuple[float, ...], std: tuple[float, ...], unit_mean: tuple[float, ...], unit_std: tuple[float, ...]
) -> None:
    assert fits_bytes_only(mean, std)
    new_mean, new_std = divided(mean, std)
    assert new_mean == pytest.approx(unit_mean)
    assert new_std == pytest.approx(unit_std)
    assert not fits_bytes_only(*divided(mean, std))


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        UNIT,
        ((0, 0, 0), (1, 1, 1)),
        ((0.5,), (0.5,)),
        ((0, 0, 0), (1 / 255,) * 3),
        ((1, 1, 1), (1, 1, 2)),
        ((-4.27,), (4.57,)),
        ((-100.0,), (58.0,)),
        ((1000.0,), (300.0,)),
    ],
)
def test_others_stay(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    assert not fits_bytes_only(mean, std)


def describe(shape: tuple[int, ...], header: Mapping[str, object], **words: object) -> ModelInfo:
    given = {"mean": None, "std": None, "input_range": None, "input_shape": None, **words}
    return describe_model({**header, "input_shape": list(shape)}, what="a.pt", name="a", sha256="", **given)  # type: ignore[arg-type]


def test_the_user_gets_the_divided_numbers_ready_to_paste() -> None:
    with pytest.raises(
        UsageError, match=r"--mean 0\.485,0\.456,0\.406 --std 0\.229,0\.224,0\.225; where inputs"
    ) as raised:
        describe((3, 8, 8), {}, mean=BYTES[0], std=BYTES[1])
    assert "the mean, 123.675, is not on the scale of pixels 0..1" in str(raised.value)
    info = describe((3, 8, 8), {}, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert info.mean == UNIT[0]


def test_a_checkpoint_with_such_numbers_is_refused() -> None:
    header = {"mean": list(BYTES[0]), "std": list(BYTES[1])}
    with pytest.raises(ModelRefusedError, match=r"the mean of a\.pt, 123\.675, .* --mean 0\.485,"):
        describe((3, 8, 8), header)
    assert describe((3, 8, 8), header, mean=UNIT[0], std=UNIT[1]).std == UNIT[1]


@pytest.mark.parametrize("shape", [(3,), (2, 8, 8), (3, 4, 8, 8), (8, 3)])
def test_inputs_that_are_no_images_are_exempt(shape: tuple[int, ...]) -> None:
    assert not takes_images(shape)
    info = describe(shape, {}, mean=(120.0,) * shape[0], std=(50.0,) * shape[0])
    assert info.mean == (120.0,) * shape[0]


def test_configurations_are_read_and_never_run() -> None:
    assert of_configuration(CONFIG) == BYTES
    assert of_configuration("data_preprocessor=dict(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))") == (
        (0.5,) * 3,
        (0.25,) * 3,
    )
    for text in (
        "",
        "mean=[1.0]",
        "mean=[1,,2] std=[1,2]",
        "mean=[1, 2] std=[1]",
        "mean=[1] std=[0]",
        "mean=[1.2.3] std=[1]",
    ):
        assert of_configuration(text) is None
    assert configuration_of({"meta": {"config": CONFIG}}) == CONFIG
    assert configuration_of({"meta": {"cfg": CONFIG}}) == CONFIG
    others: tuple[object, ...] = (None, {}, {"meta": 3}, {"meta": {"config": 3}}, [])
    for content in others:
        assert configuration_of(content) == ""


def test_the_division_is_said() -> None:
    (mean, std), note = on_unit_scale(BYTES, "the configuration in the file")
    assert mean == pytest.approx(UNIT[0])
    assert std == pytest.approx(UNIT[1])
    assert "divided by 255" in note
    assert as_options(*UNIT) in note
    assert on_unit_scale(UNIT, "x") == (UNIT, f"mean and std are those of x: {as_options(*UNIT)}")


def test_checkpoints_of_mmcv_bring_their_normalisation() -> None:
    state = {"conv.weight": torch.zeros(2, 3, 3, 3)}
    found = recognise({"meta": {"config": CONFIG}, "state_dict": state}, "epoch_3.pth")
    assert found.dialect == "state_dict"
    assert found.header["mean"] == pytest.approx(UNIT[0])
    assert found.header["std"] == pytest.approx(UNIT[1])
    assert "divided by 255" in found.norm_note
    plain = recognise({"meta": {"epoch": 3}, "state_dict": state}, "epoch_3.pth")
    assert (plain.header, plain.norm_note) == ({}, "")
