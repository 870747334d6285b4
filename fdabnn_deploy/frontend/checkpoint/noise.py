"""The noise of FDA-BNN: which layers have it, whether it is gone, and taking it away.

While alpha is not 0, an FDA layer computes with `sign(t) + alpha * e(t)` (Xu et al., NeurIPS 2021, equations
13 to 15), which is not binary, in eval mode too. Training takes alpha to exactly 0; a checkpoint of an
earlier epoch, the "best" one included, has alpha > 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor, nn

from fdabnn_deploy.errors import ModelRefusedError

_NOISE_MODULES = ("weight_noise", "act_noise")
_LISTED = 6


@dataclass(frozen=True)
class NoiseLayer:
    """One FDA layer and its alpha as the checkpoint has it."""

    name: str
    alpha: float


@dataclass(frozen=True)
class NoiseReport:
    """The FDA layers of a network.

    Attributes:
        layers: every layer with a noise adaptation module, alpha as found. Where an alpha has several
            elements, the largest in magnitude.
        dropped: alpha was not 0 somewhere and has been set to 0 on the user's demand.
    """

    layers: tuple[NoiseLayer, ...] = ()
    dropped: bool = False

    @property
    def noisy(self) -> tuple[NoiseLayer, ...]:
        """The layers whose alpha is not exactly 0."""
        return tuple(layer for layer in self.layers if layer.alpha != 0)


def fda_layer_names(keys: Iterable[str]) -> list[str]:
    """Names of the FDA layers of a state dict: `p` with `p.alpha` and either `p.n` or a noise module.

    An `alpha` alone is no sign of one: other methods learn a parameter of this name.
    """
    present = set(keys)
    noisy = {
        key.partition(f".{module}.")[0]
        for key in present
        for module in _NOISE_MODULES
        if f".{module}." in key
    }
    prefixes = [key.removesuffix(".alpha") for key in present if key.endswith(".alpha")]
    return sorted(prefix for prefix in prefixes if f"{prefix}.n" in present or prefix in noisy)


def find_noise(module: nn.Module) -> NoiseReport:
    """The FDA layers of a module; alpha may be a buffer, a parameter or a plain number."""
    layers = []
    for name, layer in module.named_modules():
        alpha = getattr(layer, "alpha", None)
        has_noise = any(isinstance(getattr(layer, noise, None), nn.Module) for noise in _NOISE_MODULES)
        if (
            isinstance(alpha, Tensor)
            and alpha.numel()
            and (has_noise or isinstance(getattr(layer, "n", None), Tensor))
        ):
            flat = alpha.detach().double().flatten()
            layers.append(NoiseLayer(name, float(flat[flat.abs().argmax()])))
        elif isinstance(alpha, Real) and has_noise:
            layers.append(NoiseLayer(name, float(alpha)))
    return NoiseReport(tuple(layers))


def drop_noise(module: nn.Module, report: NoiseReport) -> NoiseReport:
    """Sets alpha to 0 in all layers of the report, in place; returns the report that says so."""
    modules: Mapping[str, nn.Module] = dict(module.named_modules())
    for layer in report.noisy:
        owner = modules[layer.name]
        if isinstance(owner.alpha, Tensor):
            with torch.no_grad():
                owner.alpha.zero_()
        else:
            owner.alpha = 0.0  # type: ignore[assignment]
    return NoiseReport(report.layers, dropped=bool(report.noisy))


def refuse_noise(what: str, report: NoiseReport) -> None:
    """Does nothing where every alpha is exactly 0.

    Raises:
        ModelRefusedError: some alpha is not: the layers, the values and the ways out.
    """
    noisy = report.noisy
    if not noisy:
        return
    lines = [f"  {layer.name or '(top level)'}: alpha = {layer.alpha:.6g}" for layer in noisy[:_LISTED]]
    if len(noisy) > _LISTED:
        lines.append(f"  ... and {len(noisy) - _LISTED} more")
    raise ModelRefusedError(
        f"{what} is not binary yet: its noise adaptation is still on in {len(noisy)} of "
        f"{len(report.layers)} FDA layers\n"
        + "\n".join(lines)
        + "\nexport the checkpoint of the last epoch, where alpha is exactly 0 (the best one is "
        "often earlier), or train to the end, or add --drop-noise to set alpha to 0 and see what that changes"
    )
