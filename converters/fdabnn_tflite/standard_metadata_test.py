from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import pytest

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_tflite.runtime.flatbuffer import Table, root
from fdabnn_tflite.standard_metadata import StandardMetadata, standard_metadata

GRAPH = Graph(
    [Node("image", ops.Input((3, 4, 4))), Node("mean", ops.GlobalAvgPool(), ("image",))],
    ["mean"],
)
INFO = ModelInfo(
    "network",
    (3, 4, 4),
    mean=(0.5, 0.25, 0.125),
    std=(0.5, 1, 2),
    input_range=(-1, 1),
    classes=("ä", "b", "c"),
)


def described(info: ModelInfo) -> tuple[Table, Table, StandardMetadata]:
    """The input's and the output's `TensorMetadata`, and all of it."""
    found = standard_metadata(GRAPH, info)
    assert found is not None
    (subgraph,) = root(found.content, b"M001").tables(3)
    (given,), (result,) = subgraph.tables(2), subgraph.tables(3)
    return given, result, found


def test_the_normalisation_is_on_pixels_up_to_255_and_the_range_that_of_the_input() -> None:
    given, _, _ = described(INFO)
    assert given.string(0) == "image"
    (unit,) = given.tables(4)
    options, stats = unit.table(1), given.table(5)
    assert options is not None
    assert stats is not None
    assert options.numbers(0, "<f") == (127.5, 63.75, 31.875)
    assert options.numbers(1, "<f") == (127.5, 255, 510)
    assert (stats.numbers(1, "<f"), stats.numbers(0, "<f")) == ((-1,), (1,))


def test_the_classes_are_a_file_behind_the_model() -> None:
    _, result, found = described(INFO)
    (labels,) = result.tables(6)
    assert (labels.string(0), labels.number(2, "<b")) == ("labels.txt", 2)
    whole = found.append_files(b"a model")
    assert whole.startswith(b"a model")
    assert whole == found.append_files(b"a model")
    assert zipfile.ZipFile(io.BytesIO(whole)).read("labels.txt").decode() == "ä\nb\nc\n"


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b\n", "c"), ("a", "", "c"), ()])
def test_classes_that_no_label_file_can_hold_are_left_out(classes: tuple[str, ...]) -> None:
    _, result, found = described(replace(INFO, classes=classes))
    assert not list(result.tables(6))
    assert found.append_files(b"a model") == b"a model"


def test_what_is_not_known_is_not_said() -> None:
    given, _, _ = described(replace(INFO, mean=None, std=None, input_range=None))
    assert not list(given.tables(4))
    assert given.table(5) is None
    assert standard_metadata(GRAPH, ModelInfo("network", (3, 4, 4))) is None


def test_several_inputs_have_names_only() -> None:
    second = Node("second", ops.Input((3, 4, 4)))
    graph = Graph([*GRAPH, second, Node("sum", ops.Add(), ("image", "second"))], ["sum"])
    found = standard_metadata(graph, INFO)
    assert found is not None
    (subgraph,) = root(found.content, b"M001").tables(3)
    assert [(each.string(0), list(each.tables(4))) for each in subgraph.tables(2)] == [
        ("image", []),
        ("second", []),
    ]


def test_pixels_are_normalised_by_the_file_itself() -> None:
    given, _, _ = described(replace(INFO, input_format="pixels"))
    assert list(given.tables(4)) == []
    stats = given.table(5)
    assert stats is not None
    assert (stats.numbers(1, "<f"), stats.numbers(0, "<f")) == ((0,), (255,))
