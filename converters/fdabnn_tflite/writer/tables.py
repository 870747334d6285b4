"""The tables of a TFLite file under construction: tensors, buffers, operators."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from fdabnn_deploy.ir.ops import BATCH, Array, FloatArray, Shape
from fdabnn_tflite.format_limits import check_bytes, check_count
from fdabnn_tflite.runtime.tflite_file import FLOAT32, INT8, INT32

BOOL = 6
_TYPES = {"float32": FLOAT32, "int32": INT32, "int8": INT8, "bool": BOOL}
_CUSTOM = 32


class Tables:
    """Collects tensors and operators.

    Args:
        resizable: whether the batch is marked as free.

    Attributes:
        schema: the generated module of TFLite's schema.
        names: per tensor, empty until it is given one.
        owners: per tensor, what it is called where the graph has no name for it.
    """

    def __init__(self, resizable: bool) -> None:
        # Comes with LiteRT, without type information.
        self.schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
        self.names: list[str] = []
        self.owners: list[str] = []
        self._resizable = resizable
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [self.schema.BufferT()]
        self._codes: dict[str, int] = {}
        self._operators: list[Any] = []
        self._constants: dict[tuple[str, Shape, bytes], int] = {}
        self._contents: dict[bytes, int] = {}
        self._dequantized: dict[tuple[int, bytes], int] = {}
        self._bytes = 0

    def tensor(self, shape: Shape, kind: int, owner: str) -> int:
        """Adds a tensor that an operator makes, or an input."""
        tensor = self._add(shape, kind, 0, owner)
        if self._resizable:
            tensor.shapeSignature = np.array([BATCH, *shape[1:]], np.int32)
        return len(self._tensors) - 1

    def type_of(self, index: int) -> int:
        """The type of a tensor."""
        kind: int = self._tensors[index].type
        return kind

    def constant(self, values: Array, owner: str) -> int:
        """A constant; equal ones are one tensor, equal bytes one buffer.

        Raises:
            ModelRefusedError: a file cannot hold so many bytes.
        """
        kind = values.dtype.name
        check_bytes(values.nbytes, owner)
        content = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes()
        key = (kind, values.shape, content)
        if key not in self._constants:
            if content not in self._contents:
                self._bytes += len(content)
                check_bytes(self._bytes, owner)
                buffer = self.schema.BufferT()
                buffer.data = np.frombuffer(content, np.uint8)
                self._contents[content] = len(self._buffers)
                self._buffers.append(buffer)
            self._add(values.shape, _TYPES[kind], self._contents[content], owner)
            self._constants[key] = len(self._tensors) - 1
        return self._constants[key]

    def dequantized(self, values: Array, scales: FloatArray, axis: int, owner: str) -> int:
        """The floats `values * scales` that a `DEQUANTIZE` makes of a constant int8, once where two are alike.

        Args:
            values: int8.
            scales: one for every place along an axis.
            axis: of the values.
            owner: what the tensors are called after.
        """
        stored = self.constant(values, owner)
        key = (stored, scales.tobytes())
        if key not in self._dequantized:
            if self._tensors[stored].quantization is not None:
                # Equal integers with other scales: the same buffer, another tensor.
                self._add(values.shape, INT8, self._tensors[stored].buffer, owner)
                stored = len(self._tensors) - 1
            quantization = self.schema.QuantizationParametersT()
            alike = bool(np.all(scales == scales[0]))
            quantization.scale = np.array(scales[:1] if alike else scales, np.float32)
            quantization.zeroPoint = np.zeros(len(quantization.scale), np.int64)
            quantization.quantizedDimension = 0 if alike else axis
            self._tensors[stored].quantization = quantization
            self._add(values.shape, FLOAT32, 0, f"{owner}/floats")
            floats = len(self._tensors) - 1
            self.builtin("DEQUANTIZE", [stored], floats, "DequantizeOptions")
            self._dequantized[key] = floats
        return self._dequantized[key]

    def _add(self, shape: Shape, kind: int, buffer: int, owner: str) -> Any:
        check_count(len(self._tensors) + 1)
        tensor = self.schema.TensorT()
        tensor.shape = np.array(shape, np.int32)
        tensor.type, tensor.buffer, tensor.hasRank = kind, buffer, True
        self._tensors.append(tensor)
        self.names.append("")
        self.owners.append(owner)
        return tensor

    def builtin(
        self,
        name: str,
        inputs: list[int],
        output: int,
        options: str = "",
        values: dict[str, Any] | None = None,
    ) -> None:
        """Adds an operator of TFLite with the options of its table."""
        operator = self._operator(name, inputs, output)
        if options:
            table = getattr(self.schema, f"{options}T")()
            for key, value in (values or {}).items():
                setattr(table, key, value)
            operator.builtinOptions = table
            operator.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)

    def custom(self, name: str, inputs: list[int], output: int, options: dict[str, int]) -> None:
        """Adds an operator of LCE with a flexbuffer of options."""
        # Comes with LiteRT, without type information.
        from flatbuffers import flexbuffers  # type: ignore[import-untyped]

        operator = self._operator(name, inputs, output)
        if options:
            builder = flexbuffers.Builder()
            with builder.Map():
                for key in sorted(options):
                    builder.Int(key, options[key])
            operator.customOptions = np.frombuffer(bytes(builder.Finish()), np.uint8)

    def _operator(self, name: str, inputs: list[int], output: int) -> Any:
        operator = self.schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(name, len(self._codes))
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        self._operators.append(operator)
        return operator

    def model(self, inputs: list[tuple[str, int]], outputs: list[tuple[str, int]]) -> Any:
        """The whole model, its inputs and outputs by name."""
        model, main, signature = (
            getattr(self.schema, name)() for name in ("ModelT", "SubGraphT", "SignatureDefT")
        )
        for tensor, name in zip(self._tensors, self.names, strict=True):
            tensor.name = name
        main.tensors, main.operators, main.name = self._tensors, self._operators, "main"
        main.inputs, main.outputs = ([index for _, index in pairs] for pairs in (inputs, outputs))
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        signature.inputs, signature.outputs = (
            [self._entry(name, index) for name, index in pairs] for pairs in (inputs, outputs)
        )
        model.version, model.subgraphs, model.buffers = 3, [main], self._buffers
        model.operatorCodes = [self._code(name) for name in self._codes]
        model.signatureDefs = [signature]
        return model

    def _entry(self, name: str, index: int) -> Any:
        entry = self.schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        return entry

    def _code(self, name: str) -> Any:
        code = self.schema.OperatorCodeT()
        number = getattr(self.schema.BuiltinOperator, name, _CUSTOM)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
        if number == _CUSTOM:
            code.customCode = name
        return code
