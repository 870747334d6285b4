from __future__ import annotations

import sys

import pytest

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Input, Relu
from fdabnn_tflite.saved_model import build_flatbuffer, import_tensorflow

pytestmark = pytest.mark.runtimes

GRAPH = Graph([Node("x", Input((3,))), Node("y", Relu(), ("x",))], ["y"])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("larq_compute_engine")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "larq_compute_engine", None)
    with pytest.raises(RuntimeMissingError, match=r"larq-compute-engine.*\[export,lce\]"):
        build_flatbuffer(GRAPH, False, 1)


def test_tensorflows_options_are_left_as_they_were() -> None:
    tf, _ = import_tensorflow()
    before = tf.config.optimizer.get_experimental_options()
    data, _, results = build_flatbuffer(GRAPH, False, 1)
    after = tf.config.optimizer.get_experimental_options()
    assert after.get("disable_meta_optimizer", False) == before.get("disable_meta_optimizer", False)
    assert data[4:8] == b"TFL3"
    assert [result.shape.as_list() for result in results] == [[1, 3]]
