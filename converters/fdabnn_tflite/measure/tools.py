"""All of it together; see `fdabnn_deploy.measure.format_tools`."""

from __future__ import annotations

from fdabnn_deploy.ir.composites import decompose
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.measure.format_tools import FormatTools
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_tflite.measure.baselines import float_baseline, quantised_baseline
from fdabnn_tflite.measure.single_layer_files import cut
from fdabnn_tflite.measure.tflite_operators import constant_bytes, operators


def write(graph: Graph, info: ModelInfo, options: ConvertOptions) -> bytes:
    """A file of a graph; see `FormatTools.write`."""
    # Devices, which measure too, have no writer.
    from fdabnn_tflite.tensor_layout import choose_flipped
    from fdabnn_tflite.writer import write_flatbuffer

    standard = decompose(graph)
    integers = options.constants == "integer"
    return write_flatbuffer(standard, choose_flipped(standard), options.batch, info, integers=integers)[0]


TOOLS = FormatTools(operators, float_baseline, quantised_baseline, write, constant_bytes, cut)
