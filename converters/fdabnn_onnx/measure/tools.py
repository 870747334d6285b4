"""All of it together; see `fdabnn_deploy.measure.format_tools`."""

from __future__ import annotations

from fdabnn_deploy.measure.format_tools import FormatTools
from fdabnn_onnx.measure.baselines import float_baseline, quantised_baseline
from fdabnn_onnx.measure.onnx_operators import operators

TOOLS = FormatTools(operators, float_baseline, quantised_baseline)
