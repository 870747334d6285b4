from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.ops import Add, Affine, Clamp, Relu
from fdabnn_deploy.transforms.equal import first_equal, operator_key
from fdabnn_deploy.transforms.pass_testing import Build


def test_chains_written_twice_are_one() -> None:
    b = Build(2, 2, 2)
    chains = [b(Clamp(-1.0, 1.0), b(Relu(), "x")) for _ in range(2)]
    other = b(Clamp(-1.0, 2.0), b(Relu(), "x"))
    graph = b.graph(b(Add(), b(Add(), *chains), other))
    first = first_equal(graph)
    assert first[chains[1]] == chains[0]
    assert first[other] == other


def test_keys_hold_every_attribute() -> None:
    one, two = (Affine(np.array([1.0, scale]), np.zeros(2)) for scale in (1.0, 2.0))
    assert operator_key(one, ["x"]) == operator_key(Affine(one.scale.copy(), one.offset.copy()), ["x"])
    assert operator_key(one, ["x"]) != operator_key(two, ["x"])
    assert operator_key(one, ["x"]) != operator_key(one, ["y"])
