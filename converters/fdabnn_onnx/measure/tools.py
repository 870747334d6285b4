"""All of it together; see `fdabnn_deploy.measure.format_tools`."""

from __future__ import annotations

from fdabnn_deploy.measure.format_tools import FormatTools
from fdabnn_onnx.measure.onnx_operators import operators
from fdabnn_onnx.measure.twins import float_twin, quantised_twin

TOOLS = FormatTools(operators, float_twin, quantised_twin)
