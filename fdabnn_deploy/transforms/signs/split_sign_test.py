from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Editor
from fdabnn_deploy.ir.ops import Add, TorchSign
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.pass_testing import Build, check, images, kinds
from fdabnn_deploy.transforms.signs.split_sign import split_sign, two_signs


def test_the_mean_of_two_signs_is_zero_at_zero() -> None:
    b = Build(3, 4, 4)
    graph = b.graph(b(Add(), b(TorchSign(), "x"), "x"))
    x = images(graph)
    assert np.any(x == 0)
    outcome = check(split_sign, graph, applied=1)
    assert kinds(outcome.graph).count("Sign") == 2
    assert kinds(outcome.graph).count("Sub") == 1


def test_its_two_signs_are_shared() -> None:
    b = Build(2, 2, 2)
    sign = b(TorchSign(), "x")
    graph = b.graph(sign)
    editor = Editor(graph)
    assert two_signs(editor, graph, graph[sign]) == two_signs(editor, graph, graph[sign])
    x = images(graph)
    np.testing.assert_array_equal(evaluate(split_sign(graph).graph, [x])[0], np.sign(x))
