"""The base of all interpreters of TFLite files: the way from the graph's tensors to the file's and back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.runtimes.base import FileTensor, FileTensors, Session
from fdabnn_deploy.runtimes.inputs import FLOATS, PIXELS, check_inputs
from fdabnn_tflite.runtime.tensors import TENSORS_KEY, Layout, TensorMap, TensorPlace
from fdabnn_tflite.runtime.tflite_file import FLOAT32, INT32, OUTPUT_TYPES, TYPE_NAMES, UINT8, TfliteFile

_PACKERS = frozenset({"LceQuantize", "LceBconv2d", "LceBMaxPool2d"})
"""Operators whose int32 results are packed signs."""


class TfliteSession(Session):
    """A TFLite file on an interpreter.

    Args:
        file: checked.
        path: for messages.
        interpreter_name: for messages.

    Raises:
        RuntimeMissingError: the interpreter is not installed.
        ModelRefusedError: the interpreter does not take the file.
    """

    def __init__(self, file: TfliteFile, path: Path, interpreter_name: str) -> None:
        self._file, self._path, self._interpreter_name = file, path, interpreter_name
        self._map = _tensor_map(file, path)
        self._interpreter = self._load(file.outputs)
        self._inner: Any = None

    @abstractmethod
    def _load(self, outputs: tuple[int, ...]) -> Any:
        """An interpreter of a copy of the file whose outputs are these tensors."""

    @abstractmethod
    def _predict(self, interpreter: Any, stored: Sequence[Array]) -> list[Array | str]:
        """Computes the outputs from inputs as they lie in the file; see `fdabnn_deploy.runtimes.batches.run_where_possible`."""

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(place.shape for place in self._map.inputs)

    @property
    def input_types(self) -> tuple[np.dtype[Any], ...]:
        """See `Session.input_types`."""
        return tuple(
            PIXELS if self._file.tensors[place.tensor].type == UINT8 else FLOATS for place in self._map.inputs
        )

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        stored = self._all(self._interpreter, self._map.outputs, inputs)
        return [self._restore(place, values) for place, values in zip(self._map.outputs, stored, strict=True)]

    def run_all(self, inputs: Sequence[Array]) -> dict[str, Array]:
        indices = tuple(dict.fromkeys(place.tensor for place in self._map.tensors))
        if self._inner is None:
            self._inner = self._load(indices)
        values = dict(zip(indices, self._predict(self._inner, self._to_file(inputs)), strict=True))
        found: dict[str, Array] = {
            place.name: value for place, value in zip(self._map.inputs, inputs, strict=True)
        }
        for place in self._map.tensors:
            value = values[place.tensor]
            if not isinstance(value, str):
                found[place.name] = self._restore(place, value)
        return found

    @property
    def file(self) -> TfliteFile:
        """The file that runs."""
        return self._file

    @property
    def tensor_map(self) -> TensorMap:
        """How the graph's tensors lie in the file."""
        return self._map

    def file_tensors(self) -> FileTensors:
        inputs = (
            FileTensor(self._file.tensors[place.tensor].name, len(place.shape) == 3)
            for place in self._map.inputs
        )
        outputs = (
            FileTensor(self._file.tensors[place.tensor].name, place.layout is Layout.NHWC)
            for place in self._map.outputs
        )
        return FileTensors(tuple(inputs), tuple(outputs))

    def packed_signs(self, inputs: Sequence[Array]) -> dict[str, Array]:
        indices = packed_tensors(self._file)
        words = self.run_stored(indices, inputs) if indices else []
        return {self._file.tensors[i].name: value for i, value in zip(indices, words, strict=True)}

    def run_stored(self, tensors: Sequence[int], inputs: Sequence[Array]) -> list[Array]:
        """Computes tensors as they lie in the file, [N, ...] each; packed signs as int32 words.

        Args:
            tensors: their indices in the file. A copy of the model is loaded of which they are the outputs.
            inputs: as `run` takes them.

        Raises:
            UsageError: the inputs do not have the model's shapes.
        """
        wanted = tuple(dict.fromkeys(tensors))
        places = [_plain_place(self._file, index) for index in wanted]
        found = dict(zip(wanted, self._all(self._load(wanted), places, inputs), strict=True))
        return [found[index] for index in tensors]

    def _all(self, interpreter: Any, places: Sequence[TensorPlace], inputs: Sequence[Array]) -> list[Array]:
        """Runs the interpreter and returns all of its outputs.

        Raises:
            ModelRefusedError: one of them cannot be split into images.
        """
        values = []
        for place, value in zip(places, self._predict(interpreter, self._to_file(inputs)), strict=True):
            if isinstance(value, str):
                raise ModelRefusedError(
                    f"{self._path} computes several inputs at once, and its output {place.name} {value}"
                )
            values.append(value)
        return values

    def _restore(self, place: TensorPlace, stored: Array) -> Array:
        if TENSORS_KEY not in self._file.metadata and stored.shape[1:] != place.stored_shape:
            # A size that is known only when it is computed.
            return (
                stored.transpose(0, 3, 1, 2) if place.layout is Layout.NHWC and stored.ndim == 4 else stored
            )
        if stored.shape[1:] != place.stored_shape:
            raise ModelRefusedError(
                f"{self._path}: {self._interpreter_name} computes {place.name} with shape {stored.shape}, "
                "which is not what the file says: export it again"
            )
        return place.restore(stored)

    def _to_file(self, inputs: Sequence[Array]) -> list[Array]:
        check_inputs(inputs, self.input_shapes, self.input_types)
        return [place.store(value) for place, value in zip(self._map.inputs, inputs, strict=True)]

    def _not_taken(self, reason: str) -> ModelRefusedError:
        return ModelRefusedError(
            f"{self._path}: {self._interpreter_name} does not take this file: {' '.join(reason.split())}"
        )

    def _not_run(self, reason: str) -> ModelRefusedError:
        return ModelRefusedError(
            f"{self._path}: {self._interpreter_name} cannot run this file: {' '.join(reason.split())}"
        )


def _tensor_map(file: TfliteFile, path: Path) -> TensorMap:
    """The file's tensor map; for a file of other origin, its inputs and outputs, images taken as NHWC.

    Raises:
        ModelRefusedError: the map is damaged, an input is neither float32 nor, in a file of this project, bytes, or an output is of
            no type of numbers.
    """
    own = TENSORS_KEY in file.metadata
    for index in file.inputs:
        tensor = file.tensors[index]
        if not (tensor.type == FLOAT32 or (own and tensor.type == UINT8)) or not tensor.shape:
            kind = TYPE_NAMES[tensor.type]
            if not tensor.shape:
                kind = "a scalar" if tensor.ranked else "a scalar or of unknown rank"
            raise ModelRefusedError(
                f"{path}: input {tensor.name} is {kind}; inputs are float32 [N, ...]: export it so"
            )
    for index in file.outputs:
        if file.tensors[index].type not in OUTPUT_TYPES:
            raise ModelRefusedError(
                f"{path}: output {file.tensors[index].name} is of type {TYPE_NAMES[file.tensors[index].type]}; outputs of numbers and "
                "booleans are run: leave it out of the file's outputs, or cast it"
            )
    text = file.metadata.get(TENSORS_KEY)
    if text is None:
        outputs = tuple(_foreign_output(file, index) for index in file.outputs)
        return TensorMap(tuple(_foreign_place(file, index) for index in file.inputs), outputs, outputs)
    try:
        places = TensorMap.loads(text)
    except ValueError as error:
        raise ModelRefusedError(
            f"{path}: its metadata '{TENSORS_KEY}' is damaged ({error}): export it again"
        ) from None
    fits = (
        tuple(place.tensor for place in places.inputs) == file.inputs
        and tuple(place.tensor for place in places.outputs) == file.outputs
        and all(_fits(file, place, UINT8) for place in places.inputs)
        and all(_fits(file, place) for place in (*places.outputs, *places.tensors))
    )
    if not fits:
        raise ModelRefusedError(
            f"{path}: its metadata '{TENSORS_KEY}' does not fit its tensors: export it again"
        )
    return places


def packed_tensors(file: TfliteFile) -> tuple[int, ...]:
    """The indices of the tensors that hold packed signs, in the order of computation."""
    return tuple(
        index
        for operator in file.operators
        if operator.name in _PACKERS
        for index in operator.outputs
        if file.tensors[index].type == INT32
    )


def _fits(file: TfliteFile, place: TensorPlace, *others: int) -> bool:
    if not 0 <= place.tensor < len(file.tensors):
        return False
    tensor = file.tensors[place.tensor]
    kind = INT32 if place.layout is Layout.PACKED else FLOAT32
    return tensor.type in (kind, *others) and tensor.shape[1:] == place.stored_shape


def _foreign_place(file: TfliteFile, index: int) -> TensorPlace:
    tensor = file.tensors[index]
    shape = tensor.shape[1:]
    if len(shape) == 3:
        return TensorPlace(tensor.name, index, (shape[2], *shape[:2]), Layout.NHWC)
    return TensorPlace(tensor.name, index, shape, Layout.PLAIN)


def _foreign_output(file: TfliteFile, index: int) -> TensorPlace:
    tensor = file.tensors[index]
    batch = next((file.tensors[i].shape[:1] for i in file.inputs), ())
    if tensor.shape[:1] == batch:
        return _foreign_place(file, index)
    # Not one row per image: it belongs to the images of its call as a whole.
    return TensorPlace(tensor.name, index, tensor.shape, Layout.PLAIN)


def _plain_place(file: TfliteFile, index: int) -> TensorPlace:
    tensor = file.tensors[index]
    return TensorPlace(tensor.name, index, tensor.shape[1:], Layout.PLAIN)
