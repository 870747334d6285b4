from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.frontend.capture.function_module_testing import FunctionModule
from fdabnn_deploy.transforms.deploy import deploy

SHAPE = (3, 8, 8)


def refusal(*layers: nn.Module, exact: bool = True) -> str:
    with pytest.raises(ModelRefusedError) as error:
        deploy(capture(nn.Sequential(*layers).eval(), SHAPE), exact=exact)
    return str(error.value)


def test_all_statements_are_listed_in_one_message() -> None:
    def standardised(x: Tensor) -> Tensor:
        x = x - x.mean((1, 2, 3), keepdim=True)
        return x / torch.sqrt(x.var((1, 2, 3), keepdim=True) + 1e-5)

    text = refusal(
        nn.Conv2d(3, 4, 3),
        FunctionModule(lambda x: torch.floor(x * 4) / 4),
        nn.Mish(),
        FunctionModule(standardised),
        FunctionModule(lambda x: x * torch.sin(x)),
        nn.Softplus(),
        nn.Upsample(scale_factor=2, mode="bicubic"),
        nn.Flatten(),
        nn.Linear(576, 10),
        nn.LogSoftmax(1),
    )
    lines = text.splitlines()
    assert lines[0] == "8 statements cannot be deployed:"
    assert len(lines) == 9
    for operator, module in (
        ("floor", "1"), ("mish", "2"), ("var", "3"), ("sqrt", "3"), ("sin", "4"), ("softplus", "5"), ("upsample_bicubic2d", "6"),
        ("log_softmax", "8"),
    ):  # fmt: skip
        found = [line for line in lines if f"'{operator}'" in line]
        assert found, operator
        assert (
            all(f"in module '{module}'" in line and ";" in line for line in found)
            or operator == "log_softmax"
        )


def test_an_operator_that_gives_no_batch_does_not_hide_the_others() -> None:
    def mixes(x: Tensor) -> Tensor:
        return x - x.amax() + torch.cumsum(x, 2)

    text = refusal(FunctionModule(mixes), nn.Mish())
    assert "2 statements" not in text
    for operator in ("amax", "cumsum", "mish"):
        assert f"'{operator}'" in text
    assert text.startswith("3 statements")


def test_several_results_are_one_statement() -> None:
    text = refusal(
        nn.Flatten(2), FunctionModule(lambda x: x.sort(2)[0]), FunctionModule(lambda x: x.topk(2)[0])
    )
    assert text.startswith("2 statements")
    assert "choose the largest outside" in text


def test_what_is_listed_once_is_not_blamed_again_behind() -> None:
    text = refusal(FunctionModule(lambda x: torch.where(torch.special.erfinv(x) > 0, 1.0, -1.0)))
    assert "'erfinv'" in text or "'special_erfinv'" in text
    assert "statements" not in text


def test_what_has_no_exact_form_may_be_exported_in_float() -> None:
    layers = (nn.Flatten(), nn.Linear(192, 10), nn.Softmax(1))
    assert "--numerics float" in refusal(*layers)
    deploy(capture(nn.Sequential(*layers).eval(), SHAPE))


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_comparison_with_what_is_not_finite_says_so(value: str) -> None:
    text = refusal(FunctionModule(lambda x: torch.where(x > float(value), 1.0, -1.0)))
    assert f"compares with {value}, which is not finite" in text


def test_frames_that_were_joined_with_the_batch() -> None:
    text = refusal(FunctionModule(lambda x: x.reshape(-1, 1, 8, 8)), nn.Conv2d(1, 2, 3))
    assert "joins the batch with what is behind it: each image becomes 3 rows of [6, 1, 8, 8]" in text


def test_rows_of_several_images_are_not_taken_apart() -> None:
    text = refusal(FunctionModule(lambda x: x.flatten(2).transpose(1, 2).reshape(-1, 3).softmax(0)))
    assert "rows of several images" in text


def test_long_lists_are_cut() -> None:
    text = refusal(*(nn.Mish() for _ in range(40)))
    assert text.startswith("40 statements")
    assert text.endswith("and 16 more")


@pytest.mark.parametrize("own", [
    FunctionModule(lambda x: x.flatten(2).transpose(1, 2).mean(1)),
    FunctionModule(lambda x: x.mean((1, 2, 3), keepdim=True).flatten(1)),
    FunctionModule(lambda x: x.mean(1)),
    FunctionModule(lambda x: x.mean((1, 3))),
    FunctionModule(lambda x: x.flatten(1).mean(1, keepdim=True)),
    nn.Sequential(nn.Flatten(2), FunctionModule(lambda x: x.transpose(1, 2)), nn.Linear(3, 5)),
    nn.Sequential(FunctionModule(lambda x: x.permute(0, 2, 3, 1)), nn.Linear(3, 5)),
    FunctionModule(lambda x: F.linear(torch.sign(x.permute(0, 2, 3, 1)), torch.ones(4, 3).sign())),
])  # fmt: skip
def test_means_and_dense_layers_over_any_dimension(own: nn.Module) -> None:
    from fdabnn_deploy.ir.reference import evaluate

    x = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(2))
    graph = deploy(capture(own.eval(), SHAPE), exact=True).graph
    with torch.no_grad():
        expected = own(x)
    torch.testing.assert_close(torch.from_numpy(evaluate(graph, [x.numpy()])[0]), expected)
