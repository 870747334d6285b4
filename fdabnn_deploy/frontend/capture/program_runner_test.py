from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fdabnn_deploy.frontend.capture.program_runner import ProgramRunner, without_zero_products


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


class Noisy(nn.Module):
    alpha: Tensor

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.register_buffer("alpha", torch.tensor(alpha))
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        signs = torch.sign(x) + self.alpha * torch.sin(self.fc(x))
        # Not of one shape: what is left would be smaller.
        return signs + (self.alpha * torch.sin(x))[None, :1].squeeze(0).expand(1, 2, 3)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_noise_times_zero_is_left_out(alpha: float, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    program = torch.export.export(Noisy(alpha).eval(), (torch.zeros(2, 3),), strict=False).module()
    assert isinstance(program, torch.fx.GraphModule)
    lean = without_zero_products(program)
    names = {node.name for node in program.graph.nodes}
    assert {node.name for node in lean.graph.nodes} <= names
    assert ("linear" in {node.name for node in lean.graph.nodes}) == (alpha != 0)
    x = torch.randn(2, 3)
    assert torch.equal(ProgramRunner(lean).run(x), program(x))
