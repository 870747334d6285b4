"""A trained network, ready to be captured, from a file or from memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.frontend.checkpoint.copying import check_copyable, copy_module, without_wrapper
from fdabnn_deploy.frontend.checkpoint.dialects import Recognised, recognise
from fdabnn_deploy.frontend.checkpoint.make_module import (
    GROUP,
    architecture_names,
    build_architecture,
    call_factory,
    defaults_used,
    factory_parameters,
    factory_shape,
    find_factory,
    fitting_architectures,
    load_strictly,
)
from fdabnn_deploy.frontend.checkpoint.noise import NoiseReport, drop_noise, find_noise, refuse_noise
from fdabnn_deploy.frontend.checkpoint.safe_load import load_file
from fdabnn_deploy.frontend.checkpoint.tensor_checks import check_values
from fdabnn_deploy.frontend.inputs.description import describe_model, read_ranges, read_training
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.system import choices
from fdabnn_deploy.system.memory import check_memory
from fdabnn_deploy.system.plugins import load


@dataclass(frozen=True)
class Source:
    """A trained network, ready to be captured.

    Attributes:
        module: in eval mode, on the CPU, float32, without gradients; binary: every alpha is 0.
        info: name, input contract, checksum of the file.
        dialect: "fdabnn" (this project's format), "state_dict", "bibench", or "module" (from memory).
        arch: the architecture's name, `package.module:factory`, or the class of a module from memory.
        noise: the FDA layers, with the alphas as found.
        noisy_module: the network as trained, where alpha was dropped on demand; else None.
        ranges: recorded value ranges (smallest, largest) by module path; may be empty.
        training: what the checkpoint says of its training; may be empty.
        bytes: size of the file, 0 in memory.
        notes: what was assumed about the network and how to say otherwise, one sentence each.
    """

    module: nn.Module
    info: ModelInfo
    dialect: str
    arch: str
    noise: NoiseReport = field(default_factory=NoiseReport)
    noisy_module: nn.Module | None = None
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    bytes: int = 0
    notes: tuple[str, ...] = ()


def read(
    path: str | Path,
    *,
    arch: str | None = None,
    arch_args: Mapping[str, Any] | None = None,
    model: str | None = None,
    drop_noise: bool = False,
    input_shape: Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    input_range: Sequence[float] | None = None,
    name: str | None = None,
    memory_limit: int | None = None,
) -> Source:
    """Reads a checkpoint file, without running code from it, and makes its network.

    Args:
        path: a file of `torch.save`: this project's format, a state dict, a dict with one in it, or
            BiBench's.
        arch: architecture, where the file does not say or says it wrongly; one of `architecture_names()`.
        arch_args: keyword arguments of the architecture or the factory, beside those in the file.
        model: the user's own network instead, as `package.module:factory`; its code runs.
        drop_noise: accept alpha other than 0, set it to 0, and keep the network as trained in `noisy_module`.
        input_shape: of one input without the batch, where the file does not say.
        mean: per channel, of pixels 0..1; given together with `std`; overrides the file.
        std: likewise.
        input_range: smallest and largest normalised input value; overrides the file.
        name: of the model; by default the file's name without its ending.
        memory_limit: bytes that a compressed file may expand to, by default `fdabnn_deploy.system.memory.EXPANDED`.

    Raises:
        UsageError: no such file, an unknown architecture, missing or contradicting arguments.
        ModelRefusedError: the file is damaged, unsafe or of another kind; its tensors do not fit the network
            or are not finite; some alpha is not exactly 0.
        RuntimeMissingError: the architecture needs a package that is not installed.
    """
    path = Path(path)
    if arch is not None and model is not None:
        raise UsageError(
            "--arch and --model exclude each other: the first is an installed architecture, the second your "
            "own"
        )
    file = load_file(path, memory_limit)
    what = str(path)
    found = recognise(file.content, what)
    check_values(found.state, what)
    built = _build(found, what, arch, dict(arch_args or {}), model)
    module, notes = built.module, [*found.notes, *built.notes]
    if found.norm_note and mean is None:
        notes.append(found.norm_note)
    shape = input_shape if input_shape is not None else found.header.get("input_shape", built.shape)
    header = found.header
    if (
        found.dialect == "state_dict"
        and found.norm_note
        and shape is not None
        and len(header["mean"]) != shape[0]
    ):
        header = {}
        notes.remove(found.norm_note)
    info = describe_model(
        {**header, "input_shape": shape},
        what=what,
        name=path.stem if name is None else name,
        sha256=file.sha256,
        input_shape=input_shape,
        mean=mean,
        std=std,
        input_range=input_range,
    )
    module = _to_plain_cpu(module)
    _check_input(info.input_shape, what)
    sample = torch.zeros(1, *info.input_shape)
    notes += load_strictly(module, found.state, what, built.label, sample, built.parameters)
    module, noise, noisy = _without_noise(module, what, drop_noise)
    return Source(
        module=module,
        info=info,
        dialect=found.dialect,
        arch=built.label,
        noise=noise,
        noisy_module=noisy,
        ranges=read_ranges(found.header, what),
        training=read_training(found.header, what),
        bytes=file.bytes,
        notes=tuple(notes),
    )


def untrained(
    network: str,
    *,
    arch_args: Mapping[str, Any] | None = None,
    input_shape: Sequence[int] | None = None,
    drop_noise: bool = False,
    **ignored: Any,
) -> Source:
    """A network without a checkpoint, with whatever weights its factory gives it.

    Args:
        network: `package.module:factory`, whose code runs, or a registered architecture.
        arch_args: keyword arguments of either.
        input_shape: of one input, where the factory does not say.
        drop_noise: as in `read`; noise that has an alpha is dropped in any case, since an untrained network has some.
        **ignored: further arguments of `read`, which belong to checkpoints.

    Raises:
        UsageError: there is no such factory or architecture, or nobody says the shape of its inputs.
    """
    arguments = dict(arch_args or {})
    if ":" in network:
        factory = find_factory(network)
        module, shape = call_factory(factory, network, arguments), factory_shape(factory)
    elif network in architecture_names():
        module, shape = build_architecture(network, arguments), None
    else:
        raise UsageError(
            f"{network} is neither a file, nor package.module:factory, nor one of {', '.join(architecture_names())}"
        )
    shape = input_shape or shape or getattr(module, "input_shape", None)
    if shape is None:
        raise UsageError(f"{network}: the shape of its inputs is not known; give --input-shape C,H,W")
    return from_module(module.eval(), torch.zeros(1, *map(int, shape)), name=network, drop_noise=True)


def from_module(
    module: nn.Module,
    example_input: Any,
    *,
    name: str | None = None,
    drop_noise: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    input_range: Sequence[float] | None = None,
    classes: Sequence[str] = (),
) -> Source:
    """Takes the user's own network from memory; the module itself is left as it is.

    Args:
        module: any `torch.nn.Module` with one input and one output.
        example_input: float tensor (N, ...), of which only the shape matters.
        name: of the model; by default the module's class in lower case.
        drop_noise: as in `read`.
        mean: as in `read`.
        std: as in `read`.
        input_range: as in `read`.
        classes: class names in the order of the outputs.

    Raises:
        UsageError: the arguments are not a module and a batched float tensor, or the module cannot be copied.
        ModelRefusedError: a module without Python code or without weights; tensors that are not finite; some alpha is not exactly 0.
    """
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"export takes a torch.nn.Module, not a {type(module).__name__}; a file is read with "
            "checkpoint.read"
        )
    if (
        not isinstance(example_input, Tensor)
        or not example_input.is_floating_point()
        or example_input.ndim < 2
    ):
        raise UsageError(
            "the example input is a float tensor with the batch as its first dimension, such as "
            "torch.zeros(1, 3, 32, 32)"
        )
    module = without_wrapper(module)
    label = type(module).__name__
    what = f"the module {label}"
    check_copyable(module, what)
    check_values(module.state_dict(), what)
    own = _to_plain_cpu(copy_module(module, what))
    info = describe_model(
        {"classes": list(classes)},
        what=what,
        name=label.lower() if name is None else name,
        sha256="",
        input_shape=tuple(example_input.shape[1:]),
        mean=mean,
        std=std,
        input_range=input_range,
    )
    own, noise, noisy = _without_noise(own, what, drop_noise)
    return Source(module=own, info=info, dialect="module", arch=label, noise=noise, noisy_module=noisy)


@dataclass(frozen=True)
class _Built:
    """A network without its weights.

    Attributes:
        module: of the factory.
        label: how it is called.
        notes: what was assumed.
        parameters: the names of the factory's arguments.
        shape: what the module, or else the factory, says of its inputs; None where neither does.
    """

    module: nn.Module
    label: str
    notes: tuple[str, ...]
    parameters: tuple[str, ...]
    shape: Any


def _build(found: Recognised, what: str, arch: str | None, args: dict[str, Any], model: str | None) -> _Built:
    if model is not None:
        factory = find_factory(model)
        return _built(call_factory(factory, f"--model {model}", args), model, (), factory)
    if arch is None and found.arch is None:
        if found.obstacle:
            raise ModelRefusedError(
                f"{what} is a BiBench FDA checkpoint, but {found.obstacle}; give the network with --model "
                "package.module:factory"
            )
        fitting = fitting_architectures(found.state)
        hint = f"; its keys and shapes fit {' and '.join(fitting)}" if fitting else ""
        raise UsageError(
            f"{what} is a bare state_dict and does not say its architecture{hint}. Give --arch with one of "
            f"{', '.join(architecture_names())}, or your own network with --model package.module:factory"
        )
    if arch is None or arch == found.arch:
        label = found.arch or ""
        if arch is None and label not in architecture_names():
            raise ModelRefusedError(
                f"{what} needs the architecture '{label}', which is not installed (installed: "
                f"{', '.join(architecture_names())}); "
                "install the package that has it, or give the network with --model package.module:factory"
            )
        merged = {**found.arch_args, **args}
        module = build_architecture(label, merged, blame=UsageError if args else ModelRefusedError)
        notes = tuple(note for key, note in found.arch_notes.items() if key not in args)
        return _built(module, label, notes, load(GROUP, label, "architecture"))
    module = build_architecture(arch, args)
    assumed = ", ".join(f"{key}={value!r}" for key, value in defaults_used(arch, args).items())
    note = (
        f"{arch} was built with {assumed}, which the file does not say; change it with --arch-arg NAME=VALUE"
    )
    return _built(module, arch, (note,) if assumed else (), load(GROUP, arch, "architecture"))


def _built(module: nn.Module, label: str, notes: tuple[str, ...], factory: Any) -> _Built:
    shape = getattr(module, "input_shape", None)
    return _Built(
        module, label, notes, factory_parameters(factory), factory_shape(factory) if shape is None else shape
    )


def _check_input(shape: tuple[int, ...], what: str) -> None:
    """Refuses an input that alone does not fit into memory."""
    check_memory(
        16 * math.prod(shape), f"{what} with inputs of {'x'.join(map(str, shape))}", "check the input shape"
    )


def _to_plain_cpu(module: nn.Module) -> nn.Module:
    return module.to("cpu").float().eval().requires_grad_(False)


def _without_noise(
    module: nn.Module, what: str, drop: bool
) -> tuple[nn.Module, NoiseReport, nn.Module | None]:
    drop = choices.yes_or_no(drop, "drop_noise")
    report = find_noise(module)
    if not report.noisy:
        return module, report, None
    if not drop:
        refuse_noise(what, report)
    noisy = copy_module(module, what)
    return module, drop_noise(module, report), noisy
