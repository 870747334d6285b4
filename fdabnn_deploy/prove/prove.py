"""The prover's entry points."""

from __future__ import annotations

from fdabnn_deploy.prove.readers.onnx import read_onnx
from fdabnn_deploy.prove.readers.optimised import LEVELS, optimised
from fdabnn_deploy.prove.readers.tflite import read_tflite
from fdabnn_deploy.prove.rows import Proof
from fdabnn_deploy.prove.walk import prove


def prove_tflite(content: bytes) -> Proof:
    """Judges a TFLite file with or without LCE's operators.

    Raises:
        DamagedError: the bytes are no sound TFLite file (`fdabnn_deploy.runtimes.tflite.flatbuffer`).
    """
    return prove(read_tflite(content))


def prove_onnx(content: bytes) -> Proof:
    """Judges an ONNX model as its bytes say, ONNX Runtime's own operators included.

    Raises:
        RuntimeMissingError: the package onnx is not installed.
    """
    return prove(read_onnx(content))


def prove_onnxruntime(content: bytes) -> dict[str, Proof]:
    """Judges what ONNX Runtime makes of an ONNX file on this machine, by level of optimisation.

    Raises:
        ModelRefusedError: ONNX Runtime does not take the file.
        RuntimeMissingError: the package onnx or onnxruntime is not installed.
    """
    return {level: prove_onnx(optimised(content, level)) for level in LEVELS}
