from __future__ import annotations

import pytest

from fdabnn_deploy.ir.ops import Unary
from fdabnn_deploy.transforms.lower_functions import lower_functions
from fdabnn_deploy.transforms.pass_testing import Build, check, kinds


@pytest.mark.parametrize(("function", "last"), [("abs", "Maximum"), ("square", "Mul")])
def test_functions_with_an_exact_form(function: str, last: str) -> None:
    b = Build(3, 2, 2)
    outcome = check(lower_functions, b.graph(b(Unary(function), "x")), applied=1)
    assert kinds(outcome.graph)[-1] == last


def test_others_stay() -> None:
    b = Build(3, 2, 2)
    check(lower_functions, b.graph(b(Unary("tanh"), "x")), applied=0)
