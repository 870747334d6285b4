from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fdabnn_deploy.conformance.small_network import network
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Affine
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from same_files.compare import table

pytestmark = pytest.mark.runtimes

INFO = ModelInfo("small", (3, 9, 9))


def renamed(graph: Graph) -> Graph:
    names = {node.name: node.name if node.name in graph.outputs else f"new/{node.name}" for node in graph}
    nodes = [replace(n, name=names[n.name], inputs=tuple(names[i] for i in n.inputs)) for n in graph]
    return Graph(nodes, [names[name] for name in graph.outputs])


def scaled(graph: Graph) -> Graph:
    def change(node: Node) -> Node:
        if isinstance(node.op, Affine):
            return replace(node, op=Affine(2 * node.op.scale, node.op.offset))
        return node

    return Graph([change(node) for node in graph], graph.outputs)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for name, graph in {
        "old": network(),
        "again": network(),
        "renamed": renamed(network()),
        "scaled": scaled(network()),
    }.items():
        made[name] = tmp_path_factory.mktemp(name)
        for target in ("onnx", "tflite"):
            find_converter(target).convert(graph, INFO, made[name] / f"small.{target}", ConvertOptions())
    return made


@pytest.mark.parametrize(
    ("name", "expected"),
    [("again", "same bytes"), ("renamed", "same but for names"), ("scaled", "different")],
)
def test_verdicts(folders: dict[str, Path], name: str, expected: str) -> None:
    assert table(folders["old"], folders[name]) == {"small.onnx": expected, "small.tflite": expected}


def test_the_command_line(folders: dict[str, Path], tmp_path: Path) -> None:
    tool = Path(__file__).parent

    def run(*arguments: Path) -> int:
        return subprocess.run([sys.executable, tool, *arguments], capture_output=True, check=False).returncode

    assert run(folders["old"], folders["renamed"]) == 0
    assert run(folders["old"], folders["scaled"]) == 4
    assert run(folders["old"], tmp_path) == 4
    assert run(tmp_path) == 2
