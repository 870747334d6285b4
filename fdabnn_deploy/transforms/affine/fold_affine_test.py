from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.ops import Affine, BinaryConv2d, Conv2d, Linear, MaxPool2d, PRelu, Reshape, Sign
from fdabnn_deploy.transforms.affine.fold_affine import fold_affine
from fdabnn_deploy.transforms.pass_testing import Build, check, kinds

RNG = np.random.default_rng(0)


def affine(channels: int, positive: bool = False, offset: bool = True) -> Affine:
    scale = RNG.normal(size=channels)
    return Affine(
        np.abs(scale) if positive else scale, RNG.normal(size=channels) if offset else np.zeros(channels)
    )


def binary_conv(out: int, channels: int) -> BinaryConv2d:
    return BinaryConv2d(RNG.choice([-1, 1], (out, channels, 3, 3)).astype(np.int8), padding=(1, 1))


def test_affines_compose_and_identities_go() -> None:
    b = Build(3, 4, 4)
    y = b(affine(3), b(Affine(np.ones(3), np.zeros(3)), b(affine(3), "x")))
    outcome = check(fold_affine, b.graph(y), applied=2, ulps=64)
    assert kinds(outcome.graph) == ["Input", "Affine"]


def test_float_conv_and_dense_absorb_both_sides() -> None:
    b = Build(3, 2, 2)
    conv = Conv2d(RNG.normal(size=(4, 3, 1, 1)).astype(np.float32))
    dense = Linear(RNG.normal(size=(5, 16)).astype(np.float32), RNG.normal(size=5).astype(np.float32))
    features = b(Reshape((16,)), b(affine(4), b(conv, "x")))
    outcome = check(
        fold_affine, b.graph(b(affine(5), b(dense, b(affine(16), features)))), applied=3, ulps=4096
    )
    assert kinds(outcome.graph) == ["Input", "Conv2d", "Reshape", "Linear"]


def test_weight_scale_passes_activation_and_pool_to_the_norm() -> None:
    b = Build(3, 4, 4)
    scaled = b(affine(4, positive=True, offset=False), b(binary_conv(4, 3), b(Sign(), "x")))
    active = b(MaxPool2d((2, 2), (2, 2)), b(PRelu(np.array([0.25, -0.5, 0, 1], dtype=np.float32)), scaled))
    outcome = check(fold_affine, b.graph(b(affine(4), active)), applied=3, ulps=64)
    assert kinds(outcome.graph) == ["Input", "Sign", "BinaryConv2d", "PRelu", "MaxPool2d", "Affine"]


def test_a_scale_without_a_norm_behind_stays_where_it_is() -> None:
    b = Build(3, 4, 4)
    scaled = b(affine(4, positive=True, offset=False), b(binary_conv(4, 3), b(Sign(), "x")))
    check(fold_affine, b.graph(b(PRelu(np.array(0.25, dtype=np.float32)), scaled)), applied=0)


def test_a_bias_does_not_pass_an_activation() -> None:
    b = Build(3, 4, 4)
    shifted = b(affine(4, positive=True), b(binary_conv(4, 3), b(Sign(), "x")))
    check(fold_affine, b.graph(b(affine(4), b(PRelu(np.array(0.25, dtype=np.float32)), shifted))), applied=0)


def test_a_tensor_that_others_read_is_not_folded_away() -> None:
    b = Build(3, 4, 4)
    first = b(affine(3), "x")
    outcome = check(fold_affine, b.graph(b(affine(3), first), first), applied=0)
    assert kinds(outcome.graph) == ["Input", "Affine", "Affine"]


def test_a_binary_conv_never_absorbs_a_scale() -> None:
    b = Build(3, 4, 4)
    outcome = check(fold_affine, b.graph(b(affine(4), b(binary_conv(4, 3), b(Sign(), "x")))), applied=0)
    assert kinds(outcome.graph) == ["Input", "Sign", "BinaryConv2d", "Affine"]
