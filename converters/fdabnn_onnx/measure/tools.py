"""All of it together; see `fdabnn_deploy.measure.format_tools`."""

from __future__ import annotations

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.measure.format_tools import FormatTools
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_onnx.measure.baselines import float_baseline, quantised_baseline
from fdabnn_onnx.measure.onnx_operators import constant_bytes, operators


def write(graph: Graph, info: ModelInfo, options: ConvertOptions) -> bytes:
    """A file of a graph; see `FormatTools.write`."""
    # Devices, which measure too, have no onnx package.
    from fdabnn_onnx.build_model import build_model
    from fdabnn_onnx.packed.build_packed import build_packed
    from fdabnn_onnx.runtime import checksum

    build = build_packed if options.kernels == "packed" else build_model
    model = build(graph, info, options.batch, integers=options.constants == "integer")
    return checksum.seal(model.SerializeToString(deterministic=True))


TOOLS = FormatTools(operators, float_baseline, quantised_baseline, write, constant_bytes)
