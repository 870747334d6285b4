from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import nn

from fdabnn_deploy.frontend.capture.containers import contained_tensors, kept_tensors, put_back, remember


def module() -> Any:
    net: Any = nn.Sequential(nn.Linear(2, 2))
    net.saved = {"first": [torch.zeros(1), net[0].weight], "numbers": deque([1, 2], maxlen=2)}
    net.saved["itself"] = net.saved
    net[0].weight.seen = (torch.ones(1), {3})
    net[0].mean = torch.ones(2)
    return net


def test_tensors_are_found_by_name() -> None:
    net = module()
    assert list(kept_tensors(net)) == ["0.weight", "0.bias", "0.mean"]
    found = [(owner, name) for owner, name, _ in contained_tensors(net)]
    assert found == [(net, "saved_first_0"), (net, "saved_first_1"), (net[0], "weight_seen_0")]


def test_containers_get_back_what_was_in_them() -> None:
    net = module()
    remembered = remember(net)
    first = list(net.saved["first"])
    net.saved["first"].append(torch.ones(3))
    net.saved["numbers"].append(5)
    net.saved["more"] = 1
    net[0].weight.seen[1].add(4)
    net.register_buffer("made", torch.zeros(1))
    put_back(remembered)
    assert list(net.saved) == ["first", "numbers", "itself"]
    assert all(a is b for a, b in zip(net.saved["first"], first, strict=True))
    assert list(net.saved["numbers"]) == [1, 2]
    assert net[0].weight.seen[1] == {3}
    assert dict(net.named_buffers()) == {}
