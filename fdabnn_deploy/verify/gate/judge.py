"""The gate as `export` asks for it: layer by layer, the whole, and what does not pass in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from fdabnn_deploy.exact.grid_row import GridRow
from fdabnn_deploy.frontend.capture import Captured
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.transforms.deploy import Deployed
from fdabnn_deploy.verify.gate.float32_program import SingleProgram
from fdabnn_deploy.verify.gate.float64_program import DoubleProgram
from fdabnn_deploy.verify.gate.layer_by_layer import check_layers, describe
from fdabnn_deploy.verify.gate.results import Gate, LayerTable, OutputCheck
from fdabnn_deploy.verify.gate.whole_network import FEW, check_whole

_SHOWN = 3


def judge(
    captured: Captured,
    deployed: Deployed,
    graph: Graph,
    grids: tuple[GridRow, ...],
    images: FloatArray,
    trained: Sequence[FloatArray],
    computed: Sequence[FloatArray],
    fed: Array | None = None,
) -> Gate:
    """Both parts of the gate.

    Args:
        captured: the trained network.
        deployed: what the passes made of it.
        graph: what files are made of.
        grids: of its reductions; empty with float numerics.
        images: all samples.
        trained: outputs of the module for them.
        computed: outputs of `graph` for them.
        fed: the samples as `graph` takes them, where it takes pixels.
    """
    layers = check_layers(captured, deployed, graph, grids, images, fed)
    outputs = check_whole(
        graph.outputs, trained, computed, DoubleProgram(captured), images, SingleProgram(captured)
    )
    few = ""
    if len(images) < FEW and any(output.judged_by == "decisions" for output in outputs):
        few = (
            f"{len(images)} sample{'s' * (len(images) != 1)}: too few to judge decisions by, {FEW} are enough"
        )
    return Gate(layers, outputs, few, (*_layer_failures(layers), *_output_failures(outputs)))


def _layer_failures(table: LayerTable) -> list[str]:
    broken = [layer for layer in table.layers if not layer.passed]
    found = [describe(layer) for layer in broken[:_SHOWN]]
    if len(broken) > _SHOWN:
        found.append(
            f"{len(broken) - _SHOWN} more layers of {len(table.layers)} are not the trained network's either"
        )
    return found


def _output_failures(outputs: Sequence[OutputCheck]) -> list[str]:
    return [describe_output(output) for output in outputs if not output.passed]


def describe_output(output: OutputCheck) -> str:
    """An output that does not pass, in one sentence."""
    assert output.limit is not None
    itself = (
        ""
        if output.arithmetic is None
        else f"; float32 against float64 moves {output.arithmetic:.2%} by itself"
    )
    if output.judged_by == "decisions":
        may = round(output.limit * output.images)
        return (
            f"the deployed graph decides {output.differing} of {output.images} samples otherwise than the trained network, "
            f"{may} may{itself}"
        )
    return f"{output.name} of the deployed graph is off by {output.change:.2%} of its range on average, {output.limit:.2%} may be{itself}"
