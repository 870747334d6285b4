"""The target `onnx`: writes deployed graphs as ONNX files, opens and runs such files, and reads them for the prover."""

from fdabnn_onnx.registration import TARGET

__all__ = ["TARGET"]
