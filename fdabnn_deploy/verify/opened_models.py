"""The two models of a comparison, opened: exported files on their runtimes, checkpoints on PyTorch.

A checkpoint stands for the deployed graph that an export makes of it, with the numerics that the other side's file
records; `<checkpoint>:float` stands for the trained model itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdabnn_deploy.data.samples import run_in_batches
from fdabnn_deploy.errors import ModelRefusedError, RuntimeMissingError, UsageError
from fdabnn_deploy.exact.record import KEY, Numerics
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.base import Session
from fdabnn_deploy.runtimes.inputs import PIXELS
from fdabnn_deploy.system.read_file import exists
from fdabnn_deploy.targets import installed as targets
from fdabnn_deploy.targets.target import Checksum
from fdabnn_deploy.verify.cross_runtime import FurtherRuntime, open_further

if TYPE_CHECKING:
    from fdabnn_deploy.frontend.checkpoint import Source

CHECKPOINT_SUFFIXES = (".pt", ".pth", ".ckpt", ".tar", ".bin", ".pkl")
FLOAT_SUFFIX = ":float"
CHECKPOINT_RUNTIME = "torch"


@dataclass(frozen=True)
class Side:
    """One of the two models.

    Attributes:
        path: its file, None for a module in memory.
        name: as it was asked for, `:float` included.
        what: what runs, in words.
        runtime: what runs it.
        version: of the runtime.
        info: its input contract, as the file says it.
        numerics: by which its constants were chosen; None where the file does not say.
        run: computes the outputs.
        run_all: computes every tensor of the deployed graph that this side has.
        graph: the deployed graph, where it is known.
        trained: whether it is the trained model, before any pass.
        further: the further runtimes that are installed for this file.
        checksum: whether the file is the one that was exported; see `fdabnn_deploy.verify.comparison_report.SideReport`.
        notes: what was assumed about a checkpoint, and left out of it.
    """

    path: Path | None
    name: str
    what: str
    runtime: str
    version: str
    info: ModelInfo
    numerics: Numerics | None
    run: Callable[[Array], list[FloatArray]]
    run_all: Callable[[Array], Mapping[str, FloatArray]]
    graph: Graph | None = None
    trained: bool = False
    further: tuple[FurtherRuntime, ...] = ()
    checksum: Checksum = ""
    notes: tuple[str, ...] = ()

    @property
    def layers(self) -> dict[str, str]:
        """Per tensor its module path, where the graph is known; else empty."""
        return {} if self.graph is None else {node.name: node.module for node in self.graph}


def is_checkpoint(path: Path) -> bool:
    """Whether the name is that of a checkpoint, with or without `:float`."""
    return _split(path)[0].suffix.lower() in CHECKPOINT_SUFFIXES


def has_graph(model: object) -> bool:
    """Whether a model is one whose graph can be deployed: a checkpoint, or a module in memory."""
    return not isinstance(model, Path) or is_checkpoint(model)


def open_file(path: Path, runtimes: Sequence[str] = ()) -> Side:
    """Opens an exported file, or one of another tool, on the runtimes for its suffix.

    Args:
        path: of the file.
        runtimes: names of further ones to run it on, as far as they open such files.

    Raises:
        UsageError: the file is missing or of an unknown kind, or takes more than one input; or there is no runtime of such a name.
        ModelRefusedError: it is damaged.
        RuntimeMissingError: its runtime, or one that was named, is not installed.
    """
    _must_exist(path)
    try:
        runtime = registry.for_file(path)
    except UsageError as error:
        raise UsageError(f"{error}; checkpoints end in {', '.join(CHECKPOINT_SUFFIXES)}") from None
    target = targets.for_suffix(path)
    assert target is not None
    session = runtime.open(path)
    metadata = runtime.metadata(path)
    return Side(
        path=path,
        name=str(path),
        what="the file",
        runtime=runtime.name,
        version=runtime.version(),
        info=_info_of_file(path, metadata, session),
        numerics=_numerics(path, metadata),
        run=lambda images: run_in_batches(session, images),
        run_all=lambda images: session.run_all([images]),
        further=tuple(open_further(path, runtimes)),
        checksum=target.status(path, metadata),
    )


def open_checkpoint(path: Path, reading: dict[str, Any], other: Side | None, *, inner: bool) -> Side:
    """Opens a checkpoint.

    Args:
        path: with or without `:float`.
        reading: of `fdabnn_deploy.frontend.checkpoint.read`.
        other: the file it is compared with, whose numerics it takes; None for another checkpoint.
        inner: whether inner tensors of the trained model will be asked for, those of its deployed graph.

    Raises:
        UsageError: the file is missing, or it and the other side do not belong together.
        ModelRefusedError: it cannot be read or deployed.
        RuntimeMissingError: PyTorch is not installed.
    """
    file, trained = _split(path)
    _must_exist(file)
    _need_torch(file)
    from fdabnn_deploy.frontend import checkpoint

    source = checkpoint.read(file, **reading)
    return _source_side(source, path, file, other, trained=trained, inner=inner)


def open_module(module: object, reading: dict[str, Any], other: Side | None, *, inner: bool) -> Side:
    """Takes a module from memory; it stands for its deployed graph, as a checkpoint does.

    Args:
        module: a `torch.nn.Module` in eval mode.
        reading: of `fdabnn_deploy.frontend.checkpoint.from_module`.
        other: the file it is compared with, whose input shape and numerics it takes.
        inner: as in `open_checkpoint`.

    Raises:
        UsageError: it is no module, or the other side is no file.
        ModelRefusedError: it cannot be deployed.
        RuntimeMissingError: PyTorch is not installed.
    """
    name = f"the module {type(module).__name__}"
    if other is None:
        raise UsageError(f"{name} takes its input shape from the file that it is compared with: give one")
    _need_torch(name)
    import torch

    from fdabnn_deploy.frontend import checkpoint

    source = checkpoint.from_module(module, torch.zeros(1, *other.info.input_shape), **reading)  # type: ignore[arg-type]
    return _source_side(source, Path(name), None, other, trained=False, inner=inner)


def _need_torch(what: object) -> None:
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        raise RuntimeMissingError(
            f"running {what} needs PyTorch: install it with  pip install 'fdabnn-deploy[export]'"
        ) from None


def _source_side(
    source: Source, path: Path, file: Path | None, other: Side | None, *, trained: bool, inner: bool
) -> Side:
    import torch

    from fdabnn_deploy.runtimes.torch_graph import TorchGraphSession
    from fdabnn_deploy.runtimes.torch_module import run_as_it_is

    if other is not None and source.info.input_shape != other.info.input_shape:
        raise different_inputs((path.name, source.info.input_shape), (other.name, other.info.input_shape))
    if trained and other is not None and other.numerics is not None and other.numerics.mode == "exact":
        from fdabnn_deploy.frontend.capture import capture

        # An exact file has no final softmax.
        capture(source.module, source.info.input_shape, without_softmax=True)
    record = Numerics() if trained or other is None or other.numerics is None else other.numerics
    info = source.info
    if other is not None and not trained:
        info = replace(info, input_format=other.info.input_format, channel_order=other.info.channel_order)
    graph = _graph(source, record, other) if inner or not trained else None
    session = None if graph is None else TorchGraphSession(graph)
    if record.mode == "exact":
        assert other is not None
        what = f"its deployed graph, numerics of {Path(other.name).name}"
    else:
        what = "the trained model" if trained else "its deployed graph, float numerics"

    def run(images: Array) -> list[FloatArray]:
        return (
            run_as_it_is(source.module, images)
            if session is None or trained
            else run_in_batches(session, images)
        )

    return Side(
        path=file,
        name=str(path),
        what=what,
        runtime=CHECKPOINT_RUNTIME,
        version=torch.__version__,
        info=info,
        numerics=record,
        run=run,
        run_all=lambda images: {} if session is None else session.run_all([images]),
        graph=graph,
        trained=trained,
        notes=source.notes,
    )


def different_inputs(*sides: tuple[str, tuple[int, ...]]) -> UsageError:
    """The error for two models that do not take the same images."""
    shapes = [f"{Path(name).name} takes {'x'.join(map(str, shape))}" for name, shape in sides]
    return UsageError(f"{', '.join(shapes)}: the two cannot be compared")


def _split(path: Path) -> tuple[Path, bool]:
    """The file, and whether `:float` stood behind its name."""
    text = str(path)
    if text.endswith(FLOAT_SUFFIX) and not exists(path):
        file = Path(text.removesuffix(FLOAT_SUFFIX))
        if file.suffix.lower() in CHECKPOINT_SUFFIXES:
            return file, True
        raise UsageError(f"{text}: '{FLOAT_SUFFIX}' stands behind checkpoints only; name the file without it")
    return path, False


def _must_exist(path: Path) -> None:
    if not exists(path):
        raise UsageError(f"{path} does not exist")


def _graph(source: Source, record: Numerics, other: Side | None) -> Graph:
    """The deployed graph of a network, with the numerics and the input format of the file that it is compared with."""
    from fdabnn_deploy.frontend.capture import capture
    from fdabnn_deploy.transforms.deploy import deploy
    from fdabnn_deploy.transforms.take_pixels import PixelFormat, take_pixels

    captured = capture(source.module, source.info.input_shape, without_softmax=record.mode == "exact")
    graph = deploy(captured, sign_zero=record.sign_zero).graph
    pixels = None if other is None else PixelFormat.of(other.info)
    if pixels is not None:
        graph = take_pixels(graph, pixels, inside_layers=record.mode == "exact").graph
    if record.mode == "float":
        return graph
    from fdabnn_deploy.exact.make_exact import make_exact

    return make_exact(graph, record=record).graph


def _numerics(path: Path, metadata: Mapping[str, str]) -> Numerics | None:
    if KEY not in metadata:
        return None
    try:
        return Numerics.from_text(metadata[KEY])
    except ValueError as error:
        raise ModelRefusedError(
            f"{path}: its metadata '{KEY}' is damaged ({error}): export it again"
        ) from None


def _info_of_file(path: Path, metadata: Mapping[str, str], session: Session) -> ModelInfo:
    """The input contract of an exported file. One of another tool has no metadata: that is no error here."""

    def numbers(key: str) -> tuple[float, ...] | None:
        try:
            value = json.loads(metadata[key])
            return tuple(float(number) for number in value)
        except (KeyError, ValueError, TypeError):
            return None

    if len(session.input_shapes) != 1:
        raise UsageError(
            f"{path} has {len(session.input_shapes)} inputs; models with one input can be compared"
        )
    limits = numbers("input_range")
    return ModelInfo(
        name=path.name,
        input_shape=session.input_shapes[0],
        mean=numbers("mean"),
        std=numbers("std"),
        input_range=(limits[0], limits[1]) if limits and len(limits) == 2 else None,
        checkpoint_sha256=metadata.get("checkpoint_sha256", ""),
        allowed_change=metadata.get("allowed_change", ""),
        fidelity=metadata.get("fidelity", ""),
        input_format="pixels" if session.input_types[0] == PIXELS else "float32",
        channel_order="bgr" if metadata.get("channel_order") == "bgr" else "rgb",
    )
