"""Files of both TFLite writers, our own and LCE's converter: bits on every runtime, operators, sizes, proofs, and the document's table.

`exact_graphs_test.py` runs our own files of more random graphs under more settings; `via_both_test.py` exports with `--via both`.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from both_writers import document
from both_writers.compared_networks import SEEDS, Network, Source, random_networks, sources
from both_writers.file_facts import Row, kernels_of, measure
from fdabnn_deploy.conformance.merged import merged
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_tflite.convert import CONVERTER
from fdabnn_tflite.runtime.lce import Kernels
from fdabnn_tflite.tensor_layout import choose_flipped

MODULES = [source for source in sources() if source.name.startswith("foreign")]


def groups(folder: Path) -> dict[tuple[bool, tuple[Kernels, ...]], list[Network]]:
    """The random graphs by what decides on a file: which way round images are, and which of LCE's kernels take it."""
    found: dict[tuple[bool, tuple[Kernels, ...]], list[Network]] = defaultdict(list)
    for network in random_networks():
        path = folder / "random.tflite"
        CONVERTER.convert(network.graph, network.info, path, ConvertOptions())
        found[choose_flipped(network.graph), kernels_of(path)].append(network)
    return found


def together(networks: list[Network]) -> Network:
    return Network(
        f"{len(networks)} random graphs",
        merged({network.name: network.graph for network in networks}),
        ModelInfo("random", (1, 1, 1)),
        [x for network in networks for x in network.inputs],
        [y for network in networks for y in network.expected],
        random=True,
    )


def test_100_random_graphs(tmp_path: Path) -> None:
    """In few files, because a conversion by LCE takes seconds."""
    assert len(random_networks()) > 0.8 * len(SEEDS)
    for (_, kernels), networks in groups(tmp_path).items():
        row = measure(together(networks), tmp_path)
        assert row.faults() == []
        assert row.own.kernels == kernels


@pytest.mark.parametrize("source", MODULES, ids=[source.name for source in MODULES])
def test_modules_from_elsewhere(source: Source, tmp_path: Path) -> None:
    row = measure(source.make(), tmp_path)
    assert row.faults() == []


@pytest.mark.long
def test_the_table_of_the_document(tmp_path: Path) -> None:
    """Every network and each random graph by itself."""
    rows = list[Row]()
    for network in (*(source.make() for source in sources()), *random_networks()):
        rows.append(measure(network, tmp_path))
    assert [fault for row in rows for fault in row.faults()] == []
    assert document.read() == document.table(rows), f"renew it with {document.UPDATE}"
