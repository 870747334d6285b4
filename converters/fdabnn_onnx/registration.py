"""The target `onnx`, as the core finds it."""

from __future__ import annotations

from fdabnn_deploy.targets.target import DevicePackage, RuntimeEntry, Target

TARGET = Target(
    name="onnx",
    title="ONNX",
    suffix=".onnx",
    writer="fdabnn_onnx.converter:CONVERTER",
    runtimes=(RuntimeEntry("onnxruntime", "ONNX Runtime", "fdabnn_onnx.runtime.onnxruntime:OnnxRuntime"),),
    checksum="fdabnn_onnx.runtime.checksum:status_of_file",
    reader="fdabnn_onnx.prove.onnx:read_forms",
    kernels=("packed",),
    contents="fdabnn_onnx.runtime.external_data:read_model",
    measuring="fdabnn_onnx.measure.tools:TOOLS",
    device=DevicePackage(
        "ONNX Runtime", "onnxruntime", "libonnxruntime.so", r"onnxruntime/capi/libonnxruntime\.so(\.[\d.]+)?"
    ),
)
"""Registered in the entry point group `fdabnn_deploy.converters`."""
