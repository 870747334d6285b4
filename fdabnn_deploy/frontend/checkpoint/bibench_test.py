from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.checkpoint import read

FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "narrow stem": {"stem_channels": 16, "blocks": (2, 1), "widths": (16, 32)},
    "bireal": {"bireal": True, "blocks": (1, 2), "widths": (16, 64)},
    "old torch": {"old_torch": True},
    "bias": {"conv_bias": True, "blocks": (1, 1), "widths": (16, 80), "classes": 7},
    "imagenet": {"imagenet_stem": True, "blocks": (1, 1), "widths": (64, 128)},
}


@pytest.mark.parametrize("name", FORMS)
def test_computes_what_the_independent_network_computes(
    bibench_fda: ModuleType, tmp_path: Path, name: str
) -> None:
    form = bibench_fda.Form(**FORMS[name])
    network = bibench_fda.train(form, steps=2)
    bibench_fda.save(network, form, tmp_path / "latest.pth", legacy=name == "old torch")
    source = read(
        tmp_path / "latest.pth",
        arch_args={"bireal": True} if form.bireal else None,
        input_shape=(3, form.side, form.side),
    )
    assert (source.dialect, source.arch, source.noisy_module) == ("bibench", "bibench_resnet", None)
    assert len(source.noise.layers) == 2 * sum(form.blocks)
    x = bibench_fda.images(form, 4, seed=100)
    with torch.no_grad():
        expected = network(x)
        torch.testing.assert_close(source.module(x), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.01  # a dead network would agree with anything


def test_the_other_form_computes_something_else(bibench_fda: ModuleType, tmp_path: Path) -> None:
    form = bibench_fda.Form(bireal=True)
    network = bibench_fda.train(form, steps=2)
    bibench_fda.save(network, form, tmp_path / "latest.pth")
    source = read(tmp_path / "latest.pth")
    assert "bireal_cut=True" in source.notes[0]
    assert "--arch-arg bireal=true" in source.notes[0]
    x = bibench_fda.images(form, 4, seed=100)
    with torch.no_grad():
        assert not torch.allclose(source.module(x), network(x), atol=1e-2)
    assert not any(
        "bireal" in note for note in read(tmp_path / "latest.pth", arch_args={"bireal": True}).notes
    )


@pytest.mark.parametrize("old_torch", [False, True])
def test_noise_that_is_still_on_is_refused_or_dropped(
    bibench_fda: ModuleType, tmp_path: Path, old_torch: bool
) -> None:
    form = bibench_fda.Form(old_torch=old_torch)
    network = bibench_fda.train(form, steps=2, finished=False)
    path = tmp_path / "best_accuracy.pth"
    bibench_fda.save(network, form, path)
    with pytest.raises(ModelRefusedError) as error:
        read(path)
    assert "6 of 6 FDA layers" in str(error.value)
    assert "backbone.layer1.0.conv1: alpha = 0.05" in str(error.value)
    assert "--drop-noise" in str(error.value)

    source = read(path, drop_noise=True)
    assert source.noise.dropped
    assert [layer.alpha for layer in source.noise.noisy] == pytest.approx([0.05] * 6)
    assert source.noisy_module is not None
    x = bibench_fda.images(form, 4, seed=100)
    with torch.no_grad():
        trained = network(x)
        torch.testing.assert_close(source.noisy_module(x), trained, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(source.module(x), trained, atol=1e-3)
        for layer in network.modules():
            if hasattr(layer, "alpha"):
                layer.alpha.zero_()
        torch.testing.assert_close(source.module(x), network(x), rtol=1e-5, atol=1e-5)


def test_code_that_grows_in_its_first_forward_pass_can_be_the_model(
    bibench_fda: ModuleType, tmp_path: Path
) -> None:
    form = bibench_fda.Form(blocks=(1,), widths=(16,))
    network = bibench_fda.train(form, steps=1)
    bibench_fda.save(network, form, tmp_path / "latest.pth")
    source = read(tmp_path / "latest.pth", model="bibench_fda:Architecture", arch_args={"form": form})
    assert (source.dialect, len(source.noise.layers)) == ("bibench", 2)
    x = bibench_fda.images(form, 4, seed=100)
    with torch.no_grad():
        assert torch.equal(source.module(x), network(x))


def test_what_the_file_says_of_inputs_and_training(bibench_fda: ModuleType, tmp_path: Path) -> None:
    form = bibench_fda.Form(blocks=(1,), widths=(16,))
    bibench_fda.save(bibench_fda.train(form, steps=1), form, tmp_path / "epoch_3.pth")
    source = read(tmp_path / "epoch_3.pth")
    info = source.info
    assert (info.name, info.input_shape, info.classes) == ("epoch_3", (3, 32, 32), bibench_fda.CLASSES)
    assert info.mean == pytest.approx([m / 255 for m in bibench_fda.MEAN])
    assert info.std == pytest.approx([s / 255 for s in bibench_fda.STD])
    assert source.training["epoch"] == 3
    assert any("configuration in the file" in note for note in source.notes)
    told = read(tmp_path / "epoch_3.pth", mean=(0, 0, 0), std=(1, 1, 1))
    assert (len(told.notes), told.info.mean) == (1, (0.0, 0.0, 0.0))
    x = bibench_fda.images(form, 8, seed=1)
    assert info.input_range is not None
    assert info.input_range[0] - 1e-6 <= x.min() < x.max() <= info.input_range[1] + 1e-6


def test_a_bare_state_dict_is_recognised_by_its_keys(bibench_fda: ModuleType, tmp_path: Path) -> None:
    form = bibench_fda.Form(blocks=(1,), widths=(16,))
    network = bibench_fda.train(form, steps=1)
    torch.save({f"module.{key}": value for key, value in network.state_dict().items()}, tmp_path / "a.pth")
    source = read(tmp_path / "a.pth")
    assert source.dialect == "bibench"
    assert any("assumed" in note for note in source.notes)


def test_networks_of_another_form_are_refused_by_name(bibench_fda: ModuleType, tmp_path: Path) -> None:
    form = bibench_fda.Form(blocks=(1,), widths=(16,))
    network = bibench_fda.train(form, steps=1)
    state = network.state_dict()
    other = {key.replace("layer1.0", "features.3"): value for key, value in state.items()}
    bottleneck = {**state, "arch.backbone.layer1.0.conv3.weight": torch.ones(4, 16, 1, 1)}
    headless = {key: value for key, value in state.items() if "head" not in key}
    relu = {"state_dict": state, "meta": {"config": "act_cfg=dict(type='ReLU', inplace=True)"}}
    for content, reason in (
        (other, "not a ResNet"),
        (bottleneck, "bottleneck"),
        (headless, r"no head\.fc"),
        (relu, "activation ReLU"),
    ):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(ModelRefusedError, match=reason):
            read(tmp_path / "a.pth")
