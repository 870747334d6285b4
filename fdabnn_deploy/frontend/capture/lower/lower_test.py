"""Every rule against PyTorch: the captured graph, deployed, computes what the module computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.frontend.capture.function_module_testing import FunctionModule
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.deploy import deploy

IMAGE, SEQUENCE, TOKENS = (4, 6, 8), (4, 12), (6, 4)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


CONSTANT: dict[Any, Tensor] = {
    shape: numbers(*shape) for shape in ((8, 4, 3), (1, 1, 6, 1), (1, 5), (1, 6, 4), (3, 4), (4, 3), (5, 4))
}
CONSTANT |= {(5, 36): numbers(5, 36), (1, 6, 1): numbers(1, 6, 1), (5, 6, 4): numbers(5, 6, 4)}
CONSTANT |= {8: numbers(8), 5: numbers(5)}


class Rows(nn.Module):
    """Norm, activation and dense layer on rows of tokens, and back."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.norm, self.act, self.out = (
            nn.Linear(4, 5),
            nn.BatchNorm1d(5),
            nn.PReLU(5),
            nn.Linear(5, 3),
        )
        nn.init.uniform_(self.norm.running_mean), nn.init.uniform_(self.norm.running_var)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        rows = self.act(self.norm(self.fc(torch.sign(x).view(-1, c)))) * 2 + CONSTANT[5] - CONSTANT[1, 5]
        y: Tensor = self.out(torch.sign(rows)).view(n, t, -1) + rows.reshape(n, t, 5)[..., :3]
        return y


def assigned_slices(x: Tensor) -> Tensor:
    """A shift of channels, as in networks without spatial kernels, and more."""
    out = torch.zeros_like(x)
    out[:, :1, :, 1:] = x[:, :1, :, :-1]
    out[:, 1:3, :-1] = x[:, 1:3, 1:]
    out[:, 3] = x[:, 3] * 2
    y = x.clone()
    y[..., 2:5] = out[..., :3]
    y[:, 1] += 1
    return y + out


RULES: list[tuple[str, Callable[[Tensor], Any] | nn.Module, tuple[int, ...]]] = [
    ("conv1d", nn.Conv1d(4, 6, 3, 2, 1, 2), SEQUENCE),
    ("conv1d of groups", nn.Conv1d(4, 6, 5, padding="same", groups=2), SEQUENCE),
    ("even kernel", nn.Conv2d(4, 3, (2, 4), padding="same"), IMAGE),
    ("norm of a sequence", nn.Sequential(nn.Conv1d(4, 5, 3), nn.BatchNorm1d(5), nn.PReLU(5), nn.Conv1d(5, 2, 1)), SEQUENCE),
    ("max_pool1d", nn.MaxPool1d(3, 2, 1, ceil_mode=True), SEQUENCE),
    ("avg_pool1d", nn.AvgPool1d(3, 2, 1, count_include_pad=False), SEQUENCE),
    ("avg_pool2d without padding", nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE),
    ("avg_pool2d ceil", nn.AvgPool2d((4, 3), (3, 2), (1, 0), ceil_mode=True), IMAGE),
    ("avg_pool2d ceil without padding", nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), IMAGE),
    ("avg_pool2d divisor", nn.AvgPool2d(2, divisor_override=3), IMAGE),
    ("avg_pool2d of all, divisor", nn.AvgPool2d((6, 8), divisor_override=3), IMAGE),
    ("adaptive_avg_pool1d", nn.AdaptiveAvgPool1d(4), SEQUENCE),
    ("adaptive_avg_pool1d of all", nn.AdaptiveAvgPool1d(1), SEQUENCE),
    ("adaptive_max_pool2d", nn.AdaptiveMaxPool2d((3, 1)), IMAGE),
    ("adaptive_max_pool1d", nn.AdaptiveMaxPool1d(3), SEQUENCE),
    ("sum", lambda x: x.sum((2, 3)), IMAGE),
    ("sum kept", lambda x: x.sum(1, keepdim=True), IMAGE),
    ("sum of tokens", lambda x: x.sum(1), TOKENS),
    ("amax", lambda x: x.amax((2, 3)), IMAGE),
    ("amax kept", lambda x: x.amax((1, 3), keepdim=True), IMAGE),
    ("max", lambda x: x.max(2)[0], SEQUENCE),
    ("max of tokens", lambda x: torch.max(x, 1, keepdim=True).values, TOKENS),
    ("max of two", lambda x: torch.max(x, -2 * x), SEQUENCE),
    ("amin", lambda x: x.amin(2), SEQUENCE),
    ("min", lambda x: x.min(1)[0], TOKENS),
    ("min of two", lambda x: torch.min(x, 2 * x), SEQUENCE),
    ("stack and sum", lambda x: torch.stack([x, 3 * x], 2).sum(2), IMAGE),
    ("stack and mean", lambda x: torch.stack([x, 3 * x], 1).mean(1, keepdim=True), IMAGE),
    ("stack", lambda x: torch.stack([x, x * 2], -1), SEQUENCE),
    ("unbind", lambda x: x.unbind(1)[2] + x.unbind(1)[0], IMAGE),
    ("channel shuffle", nn.ChannelShuffle(2), IMAGE),
    ("pixel unshuffle", nn.PixelUnshuffle(2), IMAGE),
    ("cat of rows", lambda x: torch.cat([x, 2 * x], 2), IMAGE),
    ("cat of tokens", lambda x: torch.cat([x, 2 * x], -1), TOKENS),
    ("movedim", lambda x: x.movedim(1, -1), IMAGE),
    ("swapaxes", lambda x: x.swapaxes(1, 2), TOKENS),
    ("mT", lambda x: x.mT, SEQUENCE),
    ("picked channels", lambda x: x[:, [2, 0, 1, 3, 3]], IMAGE),
    ("picked rows", lambda x: torch.index_select(x, 2, torch.tensor([5, 0, 1])), IMAGE),
    ("repeat", lambda x: x.repeat(1, 2, 1, 3), IMAGE),
    ("expand", lambda x: x[:, :1].expand(-1, 4, -1, -1) * x, IMAGE),
    ("nearest of a sequence", lambda x: F.interpolate(x, scale_factor=3), SEQUENCE),
    ("flip", lambda x: torch.flip(x, (1, 3)), IMAGE),
    ("roll", lambda x: torch.roll(x, (1, -3), (2, 3)), IMAGE),
    ("roll channels", lambda x: torch.roll(x, 5, 1), IMAGE),
    ("round", lambda x: torch.round(x.clamp(-1, 1) * 3) / 3, IMAGE),
    ("hardsigmoid", F.hardsigmoid, IMAGE),
    ("hardswish", F.hardswish, IMAGE),
    ("sigmoid", lambda x: torch.sigmoid(x.mean((2, 3), keepdim=True)) * x, IMAGE),
    ("tanh", torch.tanh, SEQUENCE),
    ("silu", F.silu, IMAGE),
    ("gelu", F.gelu, TOKENS),
    ("gelu by tanh", lambda x: F.gelu(x * 3, approximate="tanh"), IMAGE),
    ("elu", lambda x: F.elu(x * 3, alpha=0.7), IMAGE),
    ("selu", F.selu, IMAGE),
    ("celu", F.celu, IMAGE),
    ("erf", torch.erf, IMAGE),
    ("abs", lambda x: x.abs().mean((1, 2, 3), keepdim=True) * x, IMAGE),
    ("square", lambda x: x.square() + x**2, IMAGE),
    ("bilinear", lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), IMAGE),
    ("bilinear, 3 and 4 times", lambda x: F.interpolate(x, size=(18, 32), mode="bilinear"), IMAGE),
    ("bilinear of one row", lambda x: F.interpolate(x, scale_factor=(5, 2), mode="bilinear"), (2, 1, 3)),
    ("bilinear from one pixel", lambda x: F.interpolate(x.mean((2, 3), keepdim=True), size=(6, 4), mode="bilinear"), IMAGE),
    ("minimum", lambda x: torch.minimum(x, -2 * x), SEQUENCE),
    ("padded sequence", lambda x: F.conv1d(F.pad(torch.where(x < 0, -1.0, 1.0), (2, 0)), CONSTANT[8, 4, 3].sign()), SEQUENCE),
    ("conv_transpose2d", nn.ConvTranspose2d(4, 3, 2, 2), IMAGE),
    ("conv_transpose2d 3x3", nn.ConvTranspose2d(4, 3, 3, 2, 1, 1), IMAGE),
    ("conv_transpose2d 4x4", nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False), IMAGE),
    ("conv_transpose2d 5x2", nn.ConvTranspose2d(4, 3, (5, 2), 3, (2, 0)), IMAGE),
    ("conv_transpose2d of stride 1", nn.ConvTranspose2d(4, 3, 3, 1, 1), IMAGE),
    ("conv_transpose2d 1x1", nn.ConvTranspose2d(4, 3, 1, 2), IMAGE),
    ("conv_transpose2d of groups", nn.ConvTranspose2d(4, 6, 3, 2, 1, groups=2), IMAGE),
    ("conv_transpose2d depthwise", nn.ConvTranspose2d(4, 4, 4, 2, 1, groups=4, bias=False), IMAGE),
    ("conv_transpose2d of two strides", nn.ConvTranspose2d(4, 3, (3, 5), (2, 3), (0, 1)), IMAGE),
    ("conv_transpose2d of rows", nn.ConvTranspose2d(4, 3, (3, 1), (2, 1), 0, (1, 0)), IMAGE),
    ("conv_transpose2d dilated", nn.ConvTranspose2d(4, 3, 3, 2, 1, dilation=(2, 3)), IMAGE),
    ("conv_transpose2d of a large stride", nn.ConvTranspose2d(4, 3, 2, 3, 0, (1, 0)), IMAGE),
    ("conv_transpose1d", nn.ConvTranspose1d(4, 6, 4, 2, 1, groups=2), SEQUENCE),
    ("conv_transpose1d to one channel", nn.ConvTranspose1d(4, 1, 5, 3, 2, 1), SEQUENCE),
    ("einsum of channels", lambda x: torch.einsum("bchw,oc->bohw", x, CONSTANT[5, 4]), IMAGE),
    ("einsum of tokens", lambda x: torch.einsum("b t i, i o -> b t o", x, CONSTANT[4, 3]), TOKENS),
    ("einsum, weight first", lambda x: torch.einsum("oc,bcl->bol", CONSTANT[3, 4], x), SEQUENCE),
    ("any", lambda x: (x > 1).any(1, keepdim=True) * x + (x > 0).any(2, keepdim=True), IMAGE),
    ("all", lambda x: (x > -1).all(-1) * 2.0, TOKENS),
    ("assigned slices", assigned_slices, IMAGE),
    ("einsum of a sum", lambda x: torch.einsum("bchw->bc", x), IMAGE),
    ("einsum of a weighted sum", lambda x: torch.einsum("btc,tc->bc", x, CONSTANT[1, 6, 4][0]), TOKENS),
    ("unfold", lambda x: F.unfold(x, (3, 2), 1, (1, 0), (2, 1)), IMAGE),
    ("convolution by unfold", lambda x: (CONSTANT[5, 36] @ F.unfold(x, 3, padding=1)).view(x.shape[0], 5, 6, 8), IMAGE),
    ("convolution by unfold of rows", lambda x: F.fold(
        F.linear(F.unfold(x, 3, padding=1).transpose(1, 2), CONSTANT[5, 36], CONSTANT[5]).transpose(1, 2), (6, 8), 1), IMAGE),
    ("matrix in front", lambda x: CONSTANT[3, 4] @ x, SEQUENCE),
    ("alpha", lambda x: torch.add(x, x, alpha=0.5) - torch.sub(x, 1, alpha=3) + torch.rsub(x, 3, alpha=2), TOKENS),
    ("addcmul and lerp", lambda x: torch.lerp(torch.addcmul(x, x, x, value=0.3), x, 0.2), TOKENS),
    ("rrelu", nn.RReLU(), IMAGE),
    ("einsum of a scale", lambda x: torch.einsum("bchw,c->bchw", x, CONSTANT[3, 4][0]), IMAGE),
    ("einsum of a scale by place", lambda x: torch.einsum("btc,ct->bct", x, CONSTANT[1, 6, 4][0].T), TOKENS),
    ("einsum to one number", lambda x: torch.einsum("btc,c->bt", x, CONSTANT[3, 4][0]), TOKENS),
    ("einsum to heads", lambda x: torch.einsum("btc,hcd->bhtd", x, CONSTANT[8, 4, 3]), TOKENS),
    ("einsum over two", lambda x: torch.einsum("btc,otc->bo", x, CONSTANT[5, 6, 4]), TOKENS),
    ("einsum with dots", lambda x: torch.einsum("...i,oi", x, CONSTANT[3, 4]), TOKENS),
    ("einsum that permutes", lambda x: torch.einsum("bchw->bwch", x), IMAGE),
    ("count_nonzero", lambda x: torch.count_nonzero(x > 0.3, (2, 3)) * 0.5, IMAGE),
    ("counts", lambda x: (x > 0).sum(1) / 3 + (x > 0).int().sum((1,)), IMAGE),
    ("larger than a number per channel", lambda x: torch.max(CONSTANT[1, 6, 1], torch.min(x, CONSTANT[1, 6, 1] + 0.3)), (6, 5)),
    ("larger than a number per place", lambda x: torch.maximum(x, CONSTANT[1, 6, 4]), TOKENS),
    ("scale by row and column", lambda x: x * CONSTANT[1, 1, 6, 1] / CONSTANT[8], IMAGE),
    ("embedding of positions", lambda x: x + CONSTANT[1, 6, 4], TOKENS),
    ("rows of tokens", Rows(), TOKENS),
    ("rows of an image", lambda x: F.linear(x.permute(0, 2, 3, 1).reshape(-1, 4), CONSTANT[3, 4]).view(x.shape[0], 6, 8, 3), IMAGE),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function", "shape"), RULES, ids=[name for name, _, _ in RULES])
def test_a_rule_computes_what_pytorch_computes(
    name: str, function: Callable[[Tensor], Any] | nn.Module, shape: tuple[int, ...]
) -> None:
    module = function if isinstance(function, nn.Module) else FunctionModule(function)
    x = numbers(3, *shape, seed=1)
    with torch.no_grad():
        expected = module.eval()(x)
    graph = deploy(capture(module, shape), exact=True).graph
    torch.testing.assert_close(
        torch.from_numpy(evaluate(graph, [x.numpy()])[0]), expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("function", "shape", "reason"), [
    (lambda x: x.max(2)[1].float(), SEQUENCE, "the positions of largest values are not supported"),
    (lambda x: torch.flip(x, (2,)), (1, 100), "flipping dimension 2"),
    (lambda x: torch.roll(x, 1), SEQUENCE, "moves values from image to image"),
    (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True), IMAGE, "with align_corners=True is not"),
    (lambda x: F.interpolate(x, size=(7, 8), mode="bilinear"), IMAGE, "6x8 to 7x8 is not supported"),
    (nn.Upsample(scale_factor=3.3), (3, 3, 3), "upsampling 3x3 to 9x9 by a scale that is no whole number is not supported"),
    (nn.Upsample(scale_factor=2.2, mode="bilinear"), (3, 4, 4), "upsampling of 4x4 to 8x8"),
    (lambda x: F.fold(F.unfold(x, 3), (6, 8), 3), IMAGE, "folding windows of several pixels"),
    (lambda x: F.rrelu(x, training=True), TOKENS, "makes random numbers"),
    (lambda x: torch.einsum("bchw,bkhw->bck", x, x), IMAGE, "einsum 'bchw,bkhw->bck' is not supported"),
    (lambda x: x.view(-1, 4), TOKENS, "an output has rows of several images"),
    (lambda x: x.view(-1, 4).mean(1), TOKENS, "operator 'mean' on rows of several images"),
    (lambda x: torch.stack([x, x]), TOKENS, "an output is stacked in front of the batch"),
    (lambda x: torch.stack([x, x]).flatten(0, 1), TOKENS, "on tensors that are stacked in front of the batch"),
    (lambda x: x + torch.rand(4), TOKENS, "'rand' makes random numbers, others at every call"),
    (lambda x: x * torch.bernoulli(x.sigmoid()), TOKENS, "'bernoulli' makes random numbers"),
    (lambda x: x + torch.empty_like(x).normal_(), TOKENS, "'normal_functional' makes random numbers"),
    (lambda x: torch.round(x, decimals=2), TOKENS, "rounding to decimals"),
])  # fmt: skip
def test_what_a_rule_refuses(function: Callable[[Tensor], Any], shape: tuple[int, ...], reason: str) -> None:
    with pytest.raises(ModelRefusedError, match=reason):
        deploy(capture(FunctionModule(function).eval(), shape), exact=True)
