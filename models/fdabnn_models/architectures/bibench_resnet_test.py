from __future__ import annotations

import pytest
import torch

from fdabnn_models.architectures.bibench_resnet import BiBenchConv2d, BiBenchNoise, BinaryForm, bibench_resnet


def test_exports_with_and_without_hidden_features() -> None:
    for reduction in (4, 64):
        model = bibench_resnet(
            blocks=(1, 1), widths=(16, 64), stem_channels=16, narrow_reduction=reduction
        ).eval()
        x = torch.randn(2, 3, 32, 32)
        program = torch.export.export(model, (x,), strict=False)
        torch.testing.assert_close(program.module()(x), model(x))


def test_noise_is_a_part_of_eval_mode_until_alpha_is_zero() -> None:
    torch.manual_seed(0)
    layer = BiBenchConv2d(64, 8, 1, BinaryForm(False, True, True, 64)).eval()
    x = torch.randn(1, 64, 5, 5)
    binary = layer(x)
    scale = layer.weight.abs().mean((1, 2, 3)).view(1, -1, 1, 1)
    count = torch.nn.functional.conv2d(x.sign(), layer.weight.sign(), padding=1)
    torch.testing.assert_close(binary, count * scale)
    layer.alpha.fill_(0.1)
    assert not torch.allclose(layer(x), binary, atol=1e-2)


def test_noise_without_hidden_features_is_the_sine() -> None:
    t = torch.randn(3, 16)
    assert torch.equal(BiBenchNoise(16, 0)(t), 0.1 * torch.sin(t))


def test_default_is_the_resnet20_of_the_benchmark() -> None:
    state = bibench_resnet().state_dict()
    assert sum(key.endswith(".alpha") for key in state) == 18
    assert state["backbone.layer1.0.downsample.0.weight"].shape == (16, 64, 1, 1)
    assert state["backbone.layer1.0.conv1.act_noise.fc1.weight"].shape == (1, 64)
    assert state["backbone.layer1.0.conv2.act_noise.fc1.weight"].shape == (0, 16)
    assert "backbone.layer1.1.downsample.0.weight" not in state
    assert state["head.fc.weight"].shape == (10, 64)


@pytest.mark.parametrize(
    "wrong", [{"widths": (16, 32)}, {"stem": "mnist"}, {"narrow_reduction": 0}, {"blocks": ()}]
)
def test_wrong_arguments_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"not|one entry per stage|at least"):
        bibench_resnet(**wrong)  # type: ignore[arg-type]
