"""The target `tflite`, as the core finds it."""

from __future__ import annotations

from fdabnn_deploy.targets.target import DevicePackage, RuntimeEntry, Target

TARGET = Target(
    name="tflite",
    title="TFLite",
    suffix=".tflite",
    writer="fdabnn_tflite.convert:CONVERTER",
    runtimes=(
        RuntimeEntry("litert", "LiteRT", "fdabnn_deploy.runtimes.tflite.litert:LiteRtRuntime"),
        RuntimeEntry("lce", "LCE interpreter", "fdabnn_deploy.runtimes.tflite.lce:LceRuntime", "beside"),
        RuntimeEntry(
            "tflite", "tflite", "fdabnn_deploy.runtimes.tflite.tensorflow_lite:TfliteRuntime", "named"
        ),
    ),
    checksum="fdabnn_deploy.runtimes.tflite.tflite_file:status_of_file",
    reader="fdabnn_deploy.prove.readers.tflite:read_forms",
    packed_signs=True,
    measuring="fdabnn_tflite.measure.tools:TOOLS",
    device=DevicePackage("LiteRT", "ai-edge-litert", "libLiteRt.so", r"ai_edge_litert/libLiteRt\.so"),
)
"""Registered in the entry point group `fdabnn_deploy.converters`."""
