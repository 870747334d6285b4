"""All of it together; see `fdabnn_deploy.measure.format_tools`."""

from __future__ import annotations

from fdabnn_deploy.measure.format_tools import FormatTools
from fdabnn_tflite.measure.baselines import float_baseline, quantised_baseline
from fdabnn_tflite.measure.single_layer_files import cut
from fdabnn_tflite.measure.tflite_operators import operators

TOOLS = FormatTools(operators, float_baseline, quantised_baseline, cut)
