from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fdabnn_deploy.frontend.capture.program_runner import ProgramRunner


class Scaled(nn.Module):
    calls: Tensor

    def __init__(self, writes: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[-2.0, 0.5], [3.0, -1.0]]))
        self.register_buffer("calls", torch.zeros(()))
        self.writes = writes

    def forward(self, x: Tensor) -> Tensor:
        if self.writes:
            self.calls += 1
        return nn.functional.linear(x, torch.sign(self.weight) * self.weight.abs().mean()) + self.calls


def module(writes: bool) -> torch.fx.GraphModule:
    made = torch.export.export(Scaled(writes).eval(), (torch.zeros(2, 2),), strict=False).module()
    assert isinstance(made, torch.fx.GraphModule)
    return made


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    called: list[str] = []
    run = torch.fx.Interpreter.call_function

    def call_function(self: torch.fx.Interpreter, target: object, args: object, kwargs: object) -> object:
        called.append(str(target))
        return run(self, target, args, kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.fx.Interpreter, "call_function", call_function)
    return called


def test_constants_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    called = counted(monkeypatch)
    program = module(writes=False)
    runner = ProgramRunner(program)
    for seed in range(3):
        x = torch.randn(2, 2, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(runner.run(x), program(x))
    assert sum("sign" in name for name in called) == sum("mean" in name for name in called) == 1
    assert sum("linear" in name for name in called) == 3
    # The product of both is all that is kept, beside the buffer.
    assert {node.name for node in runner._values} <= {"mul", "calls"}


def test_a_program_that_writes_is_computed_anew() -> None:
    expected, runner = module(writes=True), ProgramRunner(module(writes=True))
    for _ in range(3):
        x = torch.ones(2, 2)
        assert torch.equal(runner.run(x), expected(x))
