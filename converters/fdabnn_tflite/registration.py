"""The target `tflite`, as the core finds it."""

from __future__ import annotations

from fdabnn_deploy.targets.target import DevicePackage, RuntimeEntry, Target

TARGET = Target(
    name="tflite",
    title="TFLite",
    suffix=".tflite",
    writer="fdabnn_tflite.convert:CONVERTER",
    runtimes=(
        RuntimeEntry("litert", "LiteRT", "fdabnn_tflite.runtime.litert:LiteRtRuntime"),
        RuntimeEntry("lce", "LCE interpreter", "fdabnn_tflite.runtime.lce:LceRuntime", "further"),
        RuntimeEntry("tflite", "tflite", "fdabnn_tflite.runtime.tensorflow_lite:TfliteRuntime", "named"),
    ),
    checksum="fdabnn_tflite.runtime.tflite_file:status_of_file",
    reader="fdabnn_tflite.prove.tflite:read_forms",
    packed_signs=True,
    via=("lce", "both"),
    via_needs="fdabnn_tflite.saved_model:check_installed",
    measuring="fdabnn_tflite.measure.tools:TOOLS",
    device=DevicePackage("LiteRT", "ai-edge-litert", "libLiteRt.so", r"ai_edge_litert/libLiteRt\.so"),
)
"""Registered in the entry point group `fdabnn_deploy.converters`."""
