from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.conformance import network, network_inputs
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import BATCH, Add, Clamp, Constant, GraphError, Input, Mul, Op, Relu, Sign
from fdabnn_deploy.ir.reference import evaluate


def node(name: str, op: Op, *inputs: str) -> Node:
    return Node(name, op, inputs)


def chain() -> Graph:
    """x -> a -> b -> y, and y also adds x."""
    nodes = [
        node("x", Input((4,))),
        node("a", Relu(), "x"),
        node("b", Sign(), "a"),
        node("y", Add(), "b", "x"),
    ]
    return Graph(nodes, ["y"])


def names(graph: Graph) -> list[str]:
    return [node.name for node in graph]


def test_queries() -> None:
    graph = chain()
    assert len(graph) == 4
    assert "a" in graph
    assert "z" not in graph
    assert graph.inputs == ("x",)
    assert graph.outputs == ("y",)
    assert graph.shape("y") == (BATCH, 4)
    assert [n.name for n in graph.consumers("x")] == ["a", "y"]
    assert graph.consumers("y") == ()
    assert [n.name for n in graph.producers(graph["y"])] == ["b", "x"]
    assert [n.name for n in graph.nodes_of(Relu, Sign)] == ["a", "b"]
    assert graph.constant("a") is None


def test_a_reader_of_a_tensor_twice_is_one_consumer() -> None:
    graph = Graph([node("x", Input((4,))), node("y", Mul(), "x", "x")], ["y"])
    assert [n.name for n in graph.consumers("x")] == ["y"]


def test_constants_are_found_and_have_no_batch() -> None:
    nodes = [
        node("x", Input((4,))),
        node("c", Constant(np.ones(4, dtype=np.float32))),
        node("y", Add(), "x", "c"),
    ]
    graph = Graph(nodes, ["y"])
    assert graph.constant("c") is graph["c"].op
    assert graph.shape("c") == (4,)


def test_it_prints_as_a_program() -> None:
    assert str(chain()).splitlines() == [
        "x = Input(shape=(4,), pixels=False)()  # (-1, 4)",
        "a = Relu()(x)  # (-1, 4)",
        "b = Sign()(a)  # (-1, 4)",
        "y = Add()(b, x)  # (-1, 4)",
        "return y",
    ]


@pytest.mark.parametrize(
    ("nodes", "outputs", "message"),
    [
        ([node("x", Input((4,)))], [], "without outputs"),
        ([node("x", Input((4,)))], ["y"], "output y is not made"),
        ([node("x", Input((4,))), node("x", Relu(), "x")], ["x"], "x is made twice"),
        ([node("x", Input((4,))), node("y", Add(), "x")], ["y"], "takes 2 inputs"),
        ([node("y", Relu(), "x"), node("x", Input((4,)))], ["y"], "not made before it"),
        ([node("x", Input((4,))), node("z", Input((3,))), node("y", Add(), "x", "z")], ["y"], "y = .*do not broadcast"),
    ],
)  # fmt: skip
def test_what_is_no_graph(nodes: list[Node], outputs: list[str], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        Graph(nodes, outputs)


def test_an_editor_that_does_nothing_changes_nothing() -> None:
    graph = network()
    same = Editor(graph).finish()
    assert str(same) == str(graph)
    inputs = network_inputs(2)
    for a, b in zip(evaluate(same, inputs), evaluate(graph, inputs), strict=True):
        assert np.array_equal(a, b)


def test_redirect_drops_what_no_output_needs_and_keeps_inputs() -> None:
    editor = Editor(chain())
    editor.redirect("b", "a")
    graph = editor.finish()
    assert names(graph) == ["x", "a", "y"]
    assert graph["y"].inputs == ("a", "x")
    editor = Editor(graph)
    editor.set("y", Constant(np.ones(4, dtype=np.float32)), [])
    assert names(editor.finish()) == ["x", "y"]


def test_redirect_reaches_the_outputs() -> None:
    editor = Editor(chain())
    editor.redirect("y", "b")
    assert editor.is_output("b")
    assert editor.finish().outputs == ("b",)


def test_redirect_behind_a_new_node_does_not_make_it_read_itself() -> None:
    editor = Editor(chain())
    editor.add(node("clamped", Clamp(-1.0, 1.0), "a"), near="b")
    editor.redirect("a", "clamped")
    graph = editor.finish()
    assert names(graph) == ["x", "a", "clamped", "b", "y"]
    assert graph["clamped"].inputs == ("a",)
    assert graph["b"].inputs == ("clamped",)


def test_new_nodes_stand_before_their_neighbour_in_the_order_added() -> None:
    editor = Editor(chain())
    editor.add(node("c1", Constant(np.ones(4, dtype=np.float32))), near="y")
    editor.add(node("c2", Constant(np.ones(4, dtype=np.float32))), near="y")
    editor.add(node("s", Add(), "c1", "c2"), near="y")
    editor.set("y", Add(), ["b", "s"])
    assert names(editor.finish()) == ["x", "a", "b", "c1", "c2", "s", "y"]


def test_set_keeps_the_origin() -> None:
    graph = Graph([node("x", Input((4,))), Node("y", Relu(), ("x",), "net.act", "net.py:3")], ["y"])
    editor = Editor(graph)
    editor.set("y", Sign(), ["x"])
    changed = editor.finish()["y"]
    assert isinstance(changed.op, Sign)
    assert (changed.module, changed.source) == ("net.act", "net.py:3")
    assert isinstance(graph["y"].op, Relu)


def test_rename_reaches_readers_and_outputs_and_may_swap() -> None:
    editor = Editor(chain())
    editor.rename({"a": "b", "b": "a", "y": "logits"})
    graph = editor.finish()
    assert names(graph) == ["x", "b", "a", "logits"]
    assert isinstance(graph["b"].op, Relu)
    assert graph["logits"].inputs == ("a", "x")
    assert graph.outputs == ("logits",)


@pytest.mark.parametrize("renaming", [{"a": "b"}, {"a": "new", "b": "new"}])
def test_rename_to_a_taken_name(renaming: dict[str, str]) -> None:
    with pytest.raises(GraphError, match="share a name"):
        Editor(chain()).rename(renaming)


def test_fresh_names() -> None:
    editor = Editor(chain())
    assert editor.fresh("new") == "new"
    assert editor.fresh("a") == "a_1"
    editor.add(node("a_1", Relu(), "x"), near="b")
    assert editor.fresh("a") == "a_2"


def test_an_editor_sees_its_own_changes() -> None:
    editor = Editor(chain())
    editor.set("b", Clamp(0.0, 1.0), ["x"])
    assert isinstance(editor["b"].op, Clamp)
    assert [n.name for n in editor.consumers("x")] == ["a", "b", "y"]
    assert "a" in editor
    assert "z" not in editor


def test_what_finish_refuses() -> None:
    editor = Editor(chain())
    editor.set("a", Relu(), ["b"])
    with pytest.raises(GraphError, match="cycle"):
        editor.finish()
    editor = Editor(chain())
    editor.set("a", Relu(), ["nothing"])
    with pytest.raises(GraphError, match="nothing makes tensor nothing"):
        editor.finish()
    with pytest.raises(GraphError, match="made twice"):
        Editor(chain()).add(node("a", Relu(), "x"), near="b")
