"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError, RuntimeMissingError, UsageError
from fdabnn_deploy.ir import number_types
from fdabnn_deploy.ir.model_info import VERSION_KEY
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.native import custom_ops_path
from fdabnn_deploy.runtimes import batches
from fdabnn_deploy.runtimes.base import FileTensor, FileTensors, Session
from fdabnn_deploy.runtimes.inputs import FLOATS, PIXELS, check_inputs
from fdabnn_deploy.system.read_file import read_whole
from fdabnn_onnx.runtime import external_data, onnx_file, refusal

OPTIMIZATIONS: dict[str, str] = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
"""ONNX Runtime's levels of graph optimisation. From "basic" on it folds multipliers and addends into float convolutions."""


_ELEMENTS = frozenset((*(number_types.NAMES - set(number_types.FLOATS)), "float16", "float", "double"))
"""The types of outputs that are run, as ONNX Runtime calls them."""

_INPUTS = {"tensor(float)": FLOATS, "tensor(uint8)": PIXELS}
"""The types of inputs that are run."""

CUSTOM_OPS = "fdabnn"
"""The domain of the operators for packed binary layers."""


class OnnxRuntime:
    """Opens ONNX files; see `fdabnn_deploy.runtimes.base.Runtime`.

    Args:
        optimization: one of `OPTIMIZATIONS`; ONNX Runtime's own default is "all".

    Raises:
        UsageError: another level.
    """

    name = "onnxruntime"
    suffixes = (".onnx",)

    def __init__(self, optimization: str = "all") -> None:
        if optimization not in OPTIMIZATIONS:
            raise UsageError(
                f"unknown optimisation level '{optimization}': known: {', '.join(OPTIMIZATIONS)}"
            )
        self._optimization = optimization

    def version(self) -> str:
        """The version of the onnxruntime package; see `Runtime.version`."""
        return str(_import().__version__)

    def open(self, path: Path, threads: int = 1) -> OnnxRuntimeSession:
        """Loads a file; see `Runtime.open`.

        Raises:
            UsageError: the file cannot be read.
        """
        return OnnxRuntimeSession(external_data.read_model(path), str(path), threads, self._optimization)

    def settings(self, path: Path) -> Iterator[tuple[str, OnnxRuntimeSession]]:
        """Every level of optimisation with one and with two threads; see `Runtime.settings`.

        Raises:
            UsageError: the file cannot be read.
        """
        content = external_data.read_model(path)
        _check(content, str(path))
        for level in OPTIMIZATIONS:
            for threads in (1, 2):
                session = OnnxRuntimeSession(content, str(path), threads, level, checked=True)
                yield f"{level} optimisations, {threads} thread{'s' * (threads > 1)}", session

    def metadata(self, path: Path) -> dict[str, str]:
        """The file's metadata; see `Runtime.metadata`.

        Raises:
            UsageError: the file cannot be read.
            ModelRefusedError: the file is damaged.
        """
        try:
            return onnx_file.metadata(read_whole(path))
        except onnx_file.DamagedError as error:
            raise refusal.damaged(str(path), error) from None


class OnnxRuntimeSession(Session):
    """An ONNX model on ONNX Runtime's CPU provider.

    Args:
        content: of the file.
        name: of the model in errors, usually its path.
        threads: ONNX Runtime computes with.
        optimization: one of `OPTIMIZATIONS`.
        checked: whether `_check` has passed the content, which takes as long as loading it.

    Raises:
        RuntimeMissingError: onnxruntime is not installed.
        ModelRefusedError: the content is damaged, or is not a model from float32 batches to float32 batches.
    """

    def __init__(
        self, content: bytes, name: str, threads: int = 1, optimization: str = "all", *, checked: bool = False
    ) -> None:
        self._content, self._name, self._threads, self._optimization = content, name, threads, optimization
        self._inner: tuple[Any, list[str]] | None = None
        if not checked:
            _check(content, name)
        self._channels_last = _is_channels_last(content, name)
        self._session = self._load(content)
        self._inputs: list[str] = []
        shapes: list[tuple[int, ...]] = []
        types: list[np.dtype[Any]] = []
        sizes: set[int | None] = set()
        symbols: set[object] = set()
        for value in self._session.get_inputs():
            if (
                value.type not in _INPUTS
                or not value.shape
                or not all(isinstance(d, int) for d in value.shape[1:])
            ):
                shape = value.shape or "without dimensions"
                raise ModelRefusedError(
                    f"{name}: input {value.name} is {value.type} {shape}; float32 and uint8 with fixed dimensions behind the batch are run"
                )
            self._inputs.append(value.name)
            types.append(_INPUTS[value.type])
            shapes.append(self._image(tuple(value.shape[1:]), types[-1]))
            sizes.add(value.shape[0] if isinstance(value.shape[0], int) else None)
            symbols.add(value.shape[0])
        if not sizes:
            raise ModelRefusedError(f"{name} has no inputs: there is nothing to run it on")
        if not self._session.get_outputs():
            raise ModelRefusedError(f"{name} has no outputs: make what it computes its outputs")
        if len(sizes) > 1:
            raise ModelRefusedError(f"{name}: its inputs have different batch sizes")
        self._shapes, self._types = tuple(shapes), tuple(types)
        self._batch = sizes.pop()
        for value in self._session.get_outputs():
            _check_output(value, name)
        self._outputs = [value.name for value in self._session.get_outputs()]
        # A free batch is the first axis of an output where the file says so, by the name of the size.
        self._by_row = self._batch is not None or all(
            value.shape and value.shape[0] in symbols for value in self._session.get_outputs()
        )

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The per-image shape of each input; see `Session`."""
        return self._shapes

    @property
    def input_types(self) -> tuple[np.dtype[Any], ...]:
        """See `Session.input_types`."""
        return self._types

    def _image(self, shape: tuple[int, ...], kind: np.dtype[Any]) -> tuple[int, ...]:
        """The graph's shape of an input of this shape and type in the file."""
        last = self._channels_last and kind == PIXELS and len(shape) == 3
        return (shape[2], *shape[:2]) if last else shape

    def _stored(self, inputs: Sequence[Array]) -> list[Array]:
        """Checked inputs as the file takes them."""
        check_inputs(inputs, self._shapes, self._types)
        return [
            np.ascontiguousarray(value.transpose(0, 2, 3, 1))
            if self._channels_last and kind == PIXELS
            else value
            for value, kind in zip(inputs, self._types, strict=True)
        ]

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs, in order."""
        return tuple(self._inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        return tuple(self._outputs)

    def file_tensors(self) -> FileTensors:
        """Names; everything but pixels lies as in the graph. See `Session.file_tensors`."""
        inputs = tuple(
            FileTensor(name, self._channels_last and kind == PIXELS)
            for name, kind in zip(self._inputs, self._types, strict=True)
        )
        return FileTensors(inputs, tuple(FileTensor(name) for name in self._outputs))

    @property
    def batch(self) -> int | None:
        """The batch size written in the file, or None for any."""
        return self._batch

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Computes the outputs; see `Session.run`. A file of fixed batch size is fed in pieces, the last one filled up with zeros."""
        size = self._batch if self._by_row else 1
        return batches.run(
            self._caller(self._session, self._outputs), self._stored(inputs), size, self._outputs, self._name
        )

    def run_all(self, inputs: Sequence[Array]) -> dict[str, Array]:
        """Computes the outputs, every float tensor of the file and the inputs, by name; see `Session.run_all`.

        A second copy of the model makes every tensor an output. That keeps ONNX Runtime from fusing operators, so float sums may round
        otherwise than in `run`. The file's own intermediate tensors, called `<tensor>/<part>`, are among the results.
        """
        stored = self._stored(inputs)
        if self._inner is None:
            session = self._load_inner()
            wanted = [
                value.name
                for value in session.get_outputs()
                if value.type == "tensor(float)" or value.name in self._outputs
            ]
            self._inner = (session, wanted)
        session, names = self._inner
        values = batches.run_where_possible(self._caller(session, names), stored, self._batch)
        found = zip([*self._inputs, *names], [*inputs, *values], strict=True)
        return {name: value for name, value in found if not isinstance(value, str)}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor that a node makes, for one image or the file's fixed batch, by name."""
        session = self._load_inner()
        names = [value.name for value in session.get_outputs()]
        feeds = dict(zip(self._inputs, self._stored(self._zeros()), strict=True))
        try:
            values = session.run(names, feeds)
        except Exception as error:  # noqa: BLE001 - as in _load
            raise refusal.refused(self._name, self._content, error) from None
        return {name: tuple(np.shape(value)) for name, value in zip(names, values, strict=True)}

    def _zeros(self) -> list[Array]:
        count = self._batch or 1
        return [
            np.zeros((count, *shape), kind) for shape, kind in zip(self._shapes, self._types, strict=True)
        ]

    def native_inputs(self, inputs: Sequence[Array]) -> object:
        """One image as ONNX Runtime takes it; a file with a fixed batch size gets as many copies; see `Session.native_inputs`."""
        stored = self._stored(inputs)
        if len(inputs[0]) != 1:
            raise UsageError("latency is measured on one image")
        return {
            name: np.ascontiguousarray(np.repeat(value, self._batch or 1, axis=0))
            for name, value in zip(self._inputs, stored, strict=True)
        }

    def run_native(self, prepared: object) -> None:
        """One inference; see `Session.run_native`."""
        self._session.run(self._outputs, prepared)

    def _load_inner(self) -> Any:
        """A session of the model in which every tensor is an output."""
        names = [name for name in onnx_file.computed_tensors(self._content) if name not in self._outputs]
        return self._load(onnx_file.with_outputs(self._content, names))

    def _load(self, content: bytes) -> Any:
        onnxruntime = _import()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = getattr(
            onnxruntime.GraphOptimizationLevel, OPTIMIZATIONS[self._optimization]
        )
        # Its warnings and errors come to stderr besides being raised.
        options.log_severity_level = 4
        register_custom_ops(options, content)
        try:
            return onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"], enable_fallback=False
            )
        except Exception as error:  # noqa: BLE001 - damage meets a dozen classes without a common base
            raise refusal.refused(self._name, self._content, error) from None

    def _caller(self, session: Any, names: list[str]) -> batches.Call:
        def call(inputs: list[Array]) -> list[batches.Result]:
            try:
                return list(session.run(names, dict(zip(self._inputs, inputs, strict=True))))
            except Exception as error:  # noqa: BLE001 - as in _load
                raise refusal.refused(self._name, self._content, error) from None

        return call


def register_custom_ops(options: Any, content: bytes) -> None:
    """Brings the operators of packed binary layers to a session, where a model uses them; see docs/custom-ops.md.

    Args:
        options: an `onnxruntime.SessionOptions`.
        content: of the model.

    Raises:
        DamagedError: the content is no ONNX file.
        RuntimeMissingError: this installation has no native library.
    """
    if CUSTOM_OPS in onnx_file.domains(content):
        options.register_custom_ops_library(custom_ops_path())


def _import() -> ModuleType:
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise RuntimeMissingError("ONNX Runtime is not installed: pip install onnxruntime") from None
    module: ModuleType = onnxruntime
    return module


def _check(content: bytes, name: str) -> None:
    """Stops damage before ONNX Runtime computes with it.

    Where the `onnx` package is installed, its strict check runs: ONNX Runtime accepts a file whose operators contradict the shapes beside
    them, and then computes, for hours or beyond the memory, what one damaged byte asks for.

    Raises:
        ModelRefusedError: the content is damaged.
    """
    try:
        onnx_file.computed_tensors(content)
        import onnx
    except onnx_file.DamagedError as error:
        raise refusal.damaged(name, error) from None
    except ModuleNotFoundError:
        return
    try:
        onnx.checker.check_model(content, full_check=True)
    except Exception as error:  # noqa: BLE001 - as in _load, and UnicodeDecodeError
        raise refusal.refused(name, content, error) from None


def _is_channels_last(content: bytes, name: str) -> bool:
    """Whether a file of this project takes pixels as [N, H, W, C].

    Raises:
        ModelRefusedError: its metadata is damaged.
    """
    try:
        metadata = onnx_file.metadata(content)
    except onnx_file.DamagedError as error:
        raise refusal.damaged(name, error) from None
    return VERSION_KEY in metadata and metadata.get("layout") == "nhwc"


def _check_output(value: Any, name: str) -> None:
    """Refuses what is no tensor, or sequence of tensors, of numbers.

    Raises:
        ModelRefusedError: it is none.
    """
    kind = str(value.type)
    element = kind.removeprefix("seq(").removeprefix("tensor(").rstrip(")")
    if kind not in {f"tensor({element})", f"seq(tensor({element}))"} or element not in _ELEMENTS:
        advice = (
            "convert it without ZipMap (skl2onnx: options={'zipmap': False})"
            if "map(" in kind
            else "leave it out of the file's outputs, or cast it to a type of numbers"
        )
        raise ModelRefusedError(
            f"{name}: output {value.name} is {kind}; tensors of numbers and booleans, and sequences of these, are run: {advice}"
        )
