"""Recognising whose checkpoint a file is: this project's format, BiBench's, or a bare state dict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.checkpoint import bibench
from fdabnn_deploy.frontend.checkpoint.unwrap import StateDict, find_state_dict
from fdabnn_deploy.frontend.inputs.normalisation import configuration_of, of_configuration, on_unit_scale

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Recognised:
    """Facts that a file states about itself.

    Attributes:
        dialect: "fdabnn", "bibench" or "state_dict".
        state: the weights, keys as in the file.
        arch: architecture name, None where the file does not say.
        arch_args: arguments for its factory.
        header: what is known of the inputs and the training, by the keys of this project's format.
        arch_notes: what was assumed about the network, one sentence each, by the argument that says otherwise.
        norm_note: what was assumed about mean and std.
        obstacle: why `arch` is None although the dialect is known.
        notes: which other networks in the file were left out.
    """

    dialect: str
    state: StateDict
    arch: str | None = None
    arch_args: dict[str, Any] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    arch_notes: Mapping[str, str] = field(default_factory=dict)
    norm_note: str = ""
    obstacle: str = ""
    notes: tuple[str, ...] = ()


def recognise(content: Any, what: str) -> Recognised:
    """Recognises the content of a checkpoint file.

    Args:
        content: as `load_file` gave it.
        what: how errors call the file.

    Raises:
        ModelRefusedError: no state dict in it, or a damaged or too new header of this project's format.
    """
    if isinstance(content, Mapping) and "format_version" in content:
        return _own_format(content, what)
    unwrapped = find_state_dict(content, what)
    state, notes = unwrapped.state, unwrapped.notes
    found = bibench.recognise(content, state)
    if found is not None:
        return Recognised(
            "bibench",
            state,
            arch=None if found.obstacle else bibench.ARCH,
            arch_args=found.arch_args,
            header=found.header,
            arch_notes=found.arch_notes,
            norm_note=found.norm_note,
            obstacle=found.obstacle,
            notes=notes,
        )
    return _with_configuration(Recognised("state_dict", state, notes=notes), content)


def _with_configuration(found: Recognised, content: Any) -> Recognised:
    """With the normalisation that mmcv and mmengine keep in the configuration of a checkpoint."""
    said = of_configuration(configuration_of(content))
    if said is None:
        return found
    (mean, std), note = on_unit_scale(said, "the configuration in the file")
    return replace(found, header={"mean": list(mean), "std": list(std)}, norm_note=note)


def _own_format(content: Mapping[Any, Any], what: str) -> Recognised:
    version = content["format_version"]
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ModelRefusedError(
            f"{what} has the format_version {version!r}; this tool reads {FORMAT_VERSION}"
        )
    if version > FORMAT_VERSION:
        raise ModelRefusedError(
            f"{what} has the format_version {version}, this tool reads up to {FORMAT_VERSION}: update "
            "fdabnn-deploy"
        )
    arch, args = content.get("arch"), content.get("arch_args", {})
    if not isinstance(arch, str):
        raise ModelRefusedError(f"{what} has a format_version but no 'arch' (docs/checkpoint.md)")
    if not isinstance(args, Mapping) or not all(isinstance(key, str) for key in args):
        raise ModelRefusedError(
            f"{what} has 'arch_args' that are not a dict of keyword arguments (docs/checkpoint.md)"
        )
    if not isinstance(content.get("state_dict"), Mapping):
        raise ModelRefusedError(f"{what} has a format_version but no 'state_dict' (docs/checkpoint.md)")
    found = find_state_dict(content["state_dict"], f"'state_dict' of {what}")
    return Recognised(
        "fdabnn", found.state, arch=arch, arch_args=dict(args), header=content, notes=found.notes
    )
