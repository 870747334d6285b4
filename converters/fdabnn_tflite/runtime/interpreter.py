"""TensorFlow Lite's stock interpreter with our delegate for the binary operators: what LiteRT's and TensorFlow's have in common.

Batches are fed in pieces of the file's batch size, or of the one that its inputs were resized to; the last piece is filled up with zeros.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.native import delegate_path
from fdabnn_deploy.runtimes import batches
from fdabnn_tflite.runtime.native_stderr import native_stderr
from fdabnn_tflite.runtime.session import TfliteSession
from fdabnn_tflite.runtime.tflite_file import TfliteFile, read_tflite

FloatKernels = Literal["XNNPACK", "new XNNPACK", "built-in"]
"""The kernels for operators on floats: XNNPACK, the default; XNNPACK with the features that are still behind a flag; TensorFlow Lite's
own kernels. Its reference kernels are no choice: they lack ROUND, which exact files use."""

_RESOLVERS: dict[FloatKernels, str] = {
    "XNNPACK": "BUILTIN",
    "new XNNPACK": "BUILTIN",
    "built-in": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
}


@dataclass(frozen=True)
class Setting:
    """Settings that may change how an interpreter computes.

    Attributes:
        threads: of the interpreter; the delegate follows it.
        batch: what the inputs are resized to, None for the size in the file.
        float_kernels: for everything that is not binary.
        level: of the delegate's kernels, None for the fastest that the processor has.
    """

    threads: int = 1
    batch: int | None = None
    float_kernels: FloatKernels = "XNNPACK"
    level: str | None = None

    def __str__(self) -> str:
        parts = [self.float_kernels, f"{self.threads} thread{'s' * (self.threads > 1)}"]
        parts += [] if self.batch is None else [f"batch {self.batch}"]
        parts += [] if self.level is None else [f"{self.level} delegate"]
        return ", ".join(parts)


SETTINGS: tuple[Setting, ...] = (
    *(
        Setting(threads, batch, kernels)
        for kernels in ("XNNPACK", "built-in")
        for threads in (1, 2)
        for batch in (None, 4)
    ),
    Setting(float_kernels="new XNNPACK"),
    Setting(threads=2, level="scalar"),
)


@dataclass(frozen=True)
class Package:
    """A package with TensorFlow Lite's interpreter: its class, its loader of delegates, its enumeration of resolvers."""

    interpreter: Callable[..., Any]
    load_delegate: Callable[..., Any]
    resolvers: Any


class InterpreterSession(TfliteSession):
    """A TFLite file on a stock interpreter with the delegate.

    Args:
        package: with the interpreter.
        name: of the interpreter in messages.
        file: checked.
        path: for messages.
        setting: how to compute.

    Raises:
        RuntimeMissingError: the delegate's library is missing.
        ModelRefusedError: the interpreter does not take the file.
    """

    def __init__(self, package: Package, name: str, file: TfliteFile, path: Path, setting: Setting) -> None:
        self._package, self._setting = package, setting
        shapes = [file.tensors[index].shape for index in file.inputs]
        self._batch = setting.batch or next((shape[0] for shape in shapes if shape), 1)
        super().__init__(file, path, name)

    @property
    def setting(self) -> Setting:
        """How it computes."""
        return self._setting

    def _load(self, outputs: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        setting = self._setting
        options = {} if setting.level is None else {"kernels": setting.level}
        try:
            # It greets, and XNNPACK too, on stderr; what it refuses is raised as well.
            with native_stderr():
                interpreter = self._package.interpreter(
                    model_content=self._file.patched(outputs),
                    experimental_delegates=[self._package.load_delegate(delegate_path(), options)],
                    num_threads=setting.threads,
                    experimental_op_resolver_type=getattr(
                        self._package.resolvers, _RESOLVERS[setting.float_kernels]
                    ),
                    experimental_default_delegate_latest_features=setting.float_kernels == "new XNNPACK",
                )
                for index in self._file.inputs if setting.batch is not None else ():
                    shape = self._file.tensors[index].shape
                    interpreter.resize_tensor_input(index, [setting.batch, *shape[1:]])
                interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise self._not_taken(str(error)) from None
        return interpreter, outputs

    def _predict(
        self, interpreter: tuple[Any, tuple[int, ...]], stored: Sequence[Array]
    ) -> list[Array | str]:
        def call(piece: list[Array]) -> list[Array]:
            self._set(interpreter[0], piece)
            return self._invoke(interpreter)

        return batches.run_where_possible(call, stored, self._batch)

    def _set(self, interpreter: Any, stored: Sequence[Array]) -> None:
        for index, values in zip(self._file.inputs, stored, strict=True):
            interpreter.set_tensor(index, values)

    def _invoke(self, interpreter: tuple[Any, tuple[int, ...]]) -> list[Array]:
        loaded, outputs = interpreter
        try:
            loaded.invoke()
            return [loaded.get_tensor(index) for index in outputs]
        except (RuntimeError, ValueError) as error:
            raise self._not_run(str(error)) from None

    def native_inputs(self, inputs: Sequence[Array]) -> object:
        return batches.piece([values[:1] for values in self._to_file(inputs)], 0, self._batch)

    def run_native(self, prepared: object) -> None:
        assert isinstance(prepared, list)
        self._set(self._interpreter[0], prepared)
        self._invoke(self._interpreter)


class InterpreterRuntime(ABC):
    """Opens TFLite files on a stock interpreter with the delegate; implements `fdabnn_deploy.runtimes.base.Runtime`."""

    name: str
    suffixes: tuple[str, ...] = (".tflite",)
    interpreter_name: str
    """As messages call it."""

    @abstractmethod
    def version(self) -> str:
        """The version of the package with the interpreter; see `Runtime.version`."""

    @abstractmethod
    def package(self) -> Package:
        """The package with the interpreter, loaded.

        Raises:
            RuntimeMissingError: it is not installed.
        """

    def open(self, path: Path, threads: int = 1, setting: Setting | None = None) -> InterpreterSession:
        """Loads a file.

        Args:
            path: of the TFLite file.
            threads: of the interpreter and the delegate.
            setting: everything else that may change how it computes, instead of `threads`.

        Raises:
            UsageError: there is no such file, or a thread count or batch size below 1.
            ModelRefusedError: the file is damaged, or the interpreter does not take it.
            RuntimeMissingError: the interpreter or the delegate's library is not installed.
        """
        setting = setting or Setting(threads=threads)
        if setting.threads < 1 or (setting.batch is not None and setting.batch < 1):
            raise UsageError(f"cannot run with {setting}: give numbers from 1 on")
        return InterpreterSession(self.package(), self.interpreter_name, read_tflite(path), path, setting)

    def settings(self, path: Path) -> Iterator[tuple[str, InterpreterSession]]:
        """`SETTINGS`: float kernels, threads, batches and levels of the delegate; see `Runtime.settings`.

        Files that do not say that their batch is free run with another one only where that happens to work.
        """
        package, file = self.package(), read_tflite(path)
        for setting in SETTINGS:
            try:
                session = InterpreterSession(package, self.interpreter_name, file, path, setting)
            except ModelRefusedError:
                if setting.batch is None or file.resizable:
                    raise
                continue
            yield str(setting), session

    def metadata(self, path: Path) -> dict[str, str]:
        """The file's metadata; needs no interpreter.

        Raises:
            UsageError: there is no such file.
            ModelRefusedError: it is damaged.
        """
        return read_tflite(path).metadata
