"""Which layers may be float: `--allow-float`, and the refusals of networks that are not binary.

A binary network has at least one layer of which both sides are signs. One that has none is refused: no sign anywhere, only weights or only
activations binary, or weights that a trainer binarises outside of `forward()`, so that the module holds the latent ones. (Weights that are
stored as `+-s` are binary, whoever made them so.) So is one that loses a layer that was meant to be binary.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.pipeline import report
from fdabnn_deploy.system import choices
from fdabnn_deploy.transforms.deploy import LayerCoverage

_SHOWN = 8
_WILD = "*?["


class AllowedFloat:
    """The layers that may come out as float layers.

    Args:
        asked: names of layers, patterns such as `layer1.*`, `*` for all; each may be a list by commas.

    Raises:
        UsageError: it is no text, nor several.
    """

    def __init__(self, asked: str | Iterable[str]) -> None:
        texts = choices.names(asked, "allow_float")
        parts = [part.strip() for text in texts for part in text.split(",")]
        self._patterns = tuple(dict.fromkeys(part for part in parts if part))

    def __contains__(self, name: object) -> bool:
        return any(_matches(str(name), pattern) for pattern in self._patterns)

    def check_module(self, module: nn.Module) -> None:
        """Checks the names before anything is captured.

        Raises:
            UsageError: one is neither a module nor a parameter of the network, or a pattern that fits none.
        """
        names = [name for name, _ in (*module.named_modules(), *module.named_parameters())]
        self._check(names)

    def check_layers(self, layers: Sequence[str]) -> None:
        """Checks that every name and pattern is of a convolution or dense layer.

        Raises:
            UsageError: one is not.
        """
        self._check(layers)

    def _check(self, names: Sequence[str]) -> None:
        for pattern in self._patterns:
            if pattern == "*" or any(_matches(name, pattern) for name in names):
                continue
            if any(sign in pattern for sign in _WILD):
                raise UsageError(f"--allow-float {pattern}: no layer has such a name")
            near = difflib.get_close_matches(pattern, names, n=1)
            raise UsageError(
                f"--allow-float {pattern}: no such layer" + (f"; did you mean {near[0]}?" if near else "")
            )


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def check_coverage(
    coverage: Sequence[LayerCoverage], allowed: AllowedFloat
) -> tuple[report.CoverageRow, ...]:
    """The layers for the report.

    Raises:
        UsageError: a name or pattern is of no layer.
        ModelRefusedError: a binary layer would become float, or no layer is binary, and that is not allowed.
    """
    allowed.check_layers([layer.module for layer in coverage])
    lost = [c for c in coverage if c.expected and not c.binary_layers and c.module not in allowed]
    if lost:
        count = f"{len(lost)} binary layer{'s' if len(lost) > 1 else ''}"
        raise ModelRefusedError(
            "\n".join([f"{count} would become float:", *_described(lost), _remedy("such a layer", "LAYER")])
        )
    meant = any(layer.expected or layer.binary_layers for layer in coverage)
    if not meant and not all(module in allowed for module in _named(coverage)):
        raise ModelRefusedError(_not_binary(coverage))
    return tuple(
        report.CoverageRow(
            module=layer.module,
            kind=layer.kind,
            weight_shape=tuple(layer.weight_shape),
            one_bit=layer.one_bit,
            expected=layer.expected,
            allowed_float=layer.module in allowed,
            why=layer.why,
            remedy=layer.remedy,
            node=layer.node,
            binary_layers=layer.binary_layers,
        )
        for layer in coverage
    )


def _named(layers: Sequence[LayerCoverage]) -> list[str]:
    """Their modules, and the network itself where it has no layer."""
    return [layer.module for layer in layers] or [""]


def _not_binary(layers: Sequence[LayerCoverage]) -> str:
    activations = [layer for layer in layers if layer.half == "activations"]
    weights = [layer for layer in layers if layer.half == "weights"]
    if not layers:
        return (
            "this is not a binary network: it has no convolution or dense layer whose result reaches an output\n"
            + _remedy("it", "'*'")
        )
    if activations and weights:
        what = "no layer has both a sign in front and binary weights"
    elif activations:
        what = "only activations are binary, no layer's weights are"
    elif weights:
        what = "only weights are binary, no layer's input is a sign"
    else:
        what = f"none of its {len(layers)} layers has a sign in front or binary weights"
    lines = [f"this is not a binary network: {what}"]
    lines += _described([*activations, *weights])
    if activations:
        lines.append(
            "where the trainer binarises weights outside of forward(), the module holds the latent ones: binarise them in forward(), or "
            "store the binarised ones (+-s per output channel) in the checkpoint"
        )
    return "\n".join([*lines, _remedy("it", "'*'")])


def _described(layers: Sequence[LayerCoverage]) -> list[str]:
    lines = []
    for c in layers[:_SHOWN]:
        where = f", {c.kind} {c.place}" if c.place else ""
        lines.append(f"  {c.module}{where}: {c.why}" + (f"; {c.remedy}" if c.remedy else ""))
    return [*lines, f"  and {len(layers) - _SHOWN} more"] if len(layers) > _SHOWN else lines


def _remedy(what: str, name: str) -> str:
    return f"to export {what} as float all the same, name it with --allow-float {name}"
