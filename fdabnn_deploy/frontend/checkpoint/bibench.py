"""The BiBench dialect: FDA-BNN checkpoints of the BiBench benchmark (Qin et al., ICML 2023), written by mmcv.

The file is a dict `meta / state_dict / optimizer`; the network's keys begin with `arch.backbone.` and
`arch.head.fc.`. The shape of the network is read off the weights: depth, widths, stem, classes, conv biases
and the sizes of the noise modules, which depend on the version of PyTorch that trained it (a width below 64
gives an empty module in recent ones and divides by 4 in older ones). What weights cannot say (the block's
form, the normalisation) is taken from the configuration text in `meta`, which is only read, never run, or
assumed and said in the notes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fdabnn_deploy.frontend.checkpoint.noise import fda_layer_names
from fdabnn_deploy.frontend.checkpoint.unwrap import StateDict
from fdabnn_deploy.frontend.inputs.normalisation import (
    Normalisation,
    configuration_of,
    of_configuration,
    on_unit_scale,
)

ARCH = "bibench_resnet"
REDUCTION = 64
OLD_REDUCTION = 4
_PREFIXES = ("arch.", "module.", "model.", "_orig_mod.")
# Of pixels 0..255, as in BiBench's configurations (_base_/datasets/cifar10.py and imagenet.py).
_CIFAR10_NORM = ((125.307, 122.961, 113.8575), (51.5865, 50.847, 51.255))
_IMAGENET_NORM = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@dataclass(frozen=True)
class BiBenchFile:
    """Facts read from a BiBench checkpoint; see `dialects.Recognised` for the fields."""

    arch_args: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    arch_notes: dict[str, str] = field(default_factory=dict)
    norm_note: str = ""
    obstacle: str = ""


def recognise(content: Any, state: StateDict) -> BiBenchFile | None:
    """Recognises a BiBench FDA checkpoint by its keys, or gives None.

    Args:
        content: of the whole file, for `meta`.
        state: its state dict.
    """
    state = _without_prefixes(state)
    layers = fda_layer_names(state)
    if not layers or not all(name.startswith("backbone.") for name in layers):
        return None
    meta = content.get("meta") if isinstance(content, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    config = configuration_of(content)
    obstacle = _obstacle(state, config)
    if obstacle:
        return BiBenchFile(obstacle=obstacle)
    args = _infer_arguments(state, layers)
    norm_note = ""
    header: dict[str, Any] = {
        "input_shape": [args["in_channels"], *([32, 32] if args["stem"] == "cifar" else [224, 224])]
    }
    if args["in_channels"] == 3:
        (mean, std), norm_note = on_unit_scale(*_normalisation(config, args["stem"]))
        header["mean"], header["std"] = list(mean), list(std)
    header["classes"] = _classes(meta, args["num_classes"])
    header["training"] = {
        key: meta[key]
        for key in ("epoch", "iter", "seed", "mmcv_version", "time")
        if isinstance(meta.get(key), int | str)
    }
    return BiBenchFile(args, header, {"bireal": _note_on_form(config)}, norm_note)


def _without_prefixes(state: StateDict) -> StateDict:
    while True:
        prefix = next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), None)
        if prefix is None or not state:
            return state
        state = {key.removeprefix(prefix): value for key, value in state.items()}


def _obstacle(state: StateDict, config: str) -> str:
    """Why the network is not one that `bibench_resnet` can make, or nothing."""
    if "backbone.conv1.weight" not in state or "backbone.layer1.0.conv1.weight" not in state:
        return "its backbone is not a ResNet"
    if any(key.endswith(".conv3.weight") for key in state):
        return "its ResNet has bottleneck blocks"
    if "head.fc.weight" not in state:
        return "it has no head.fc: it is not a classifier with one linear layer"
    if tuple(state["backbone.conv1.weight"].shape[2:]) not in {(3, 3), (7, 7)}:
        return f"its stem is a convolution {list(state['backbone.conv1.weight'].shape)}, not 3x3 or 7x7"
    others = set(re.findall(r"act_cfg\s*=\s*dict\(\s*type\s*=\s*['\"](\w+)['\"]", config)) - {"Hardtanh"}
    if others:
        return f"its configuration names the activation {' and '.join(sorted(others))} instead of Hardtanh"
    return ""


def _infer_arguments(state: StateDict, layers: list[str]) -> dict[str, Any]:
    blocks: list[int] = []
    widths: list[int] = []
    strides: list[int] = []
    while (first := f"backbone.layer{len(blocks) + 1}.0.") + "conv1.weight" in state:
        stage = f"backbone.layer{len(blocks) + 1}."
        count = 0
        while f"{stage}{count}.conv1.weight" in state:
            count += 1
        # A downsample stands where the width or the size changes. BiBench's ResNets keep the size in the
        # first stage only.
        strides.append(2 if blocks and first + "downsample.0.weight" in state else 1)
        blocks.append(count)
        widths.append(state[first + "conv1.weight"].shape[0])
    stem = state["backbone.conv1.weight"]
    return {
        "blocks": tuple(blocks),
        "widths": tuple(widths),
        "strides": tuple(strides),
        "stem": "cifar" if stem.shape[2] == 3 else "imagenet",
        "stem_channels": stem.shape[0],
        "in_channels": stem.shape[1],
        "num_classes": state["head.fc.weight"].shape[0],
        "conv_bias": any(f"{name}.bias" in state for name in layers),
        "weight_noise": any(f"{name}.weight_noise.fc1.weight" in state for name in layers),
        "act_noise": any(f"{name}.act_noise.fc1.weight" in state for name in layers),
        "narrow_reduction": _narrow_reduction(state, layers),
    }


def _narrow_reduction(state: StateDict, layers: list[str]) -> int:
    """Divisors of the width of noise modules with fewer than 64 features: 64, which leaves none, or in older PyTorch 4."""
    for name in layers:
        for noise in ("weight_noise", "act_noise"):
            weight = state.get(f"{name}.{noise}.fc1.weight")
            if (
                weight is not None
                and weight.ndim == 2
                and weight.shape[0] > 0
                and weight.shape[1] < REDUCTION
            ):
                return OLD_REDUCTION
    return REDUCTION


def _note_on_form(config: str) -> str:
    change = "if your code adds it after each convolution:  --arch-arg bireal=true"
    if re.search(r"bireal_cut\s*=\s*True", config):
        return (
            "blocks are taken as plain (one shortcut per block): the configuration says bireal_cut=True, "
            "but BiBench's own code "
            f"never hands this to its blocks; {change}"
        )
    return f"blocks are taken as plain (one shortcut per block), which the weights cannot tell; {change}"


def _normalisation(config: str, stem: str) -> tuple[Normalisation, str]:
    found = of_configuration(config)
    if found is not None and len(found[0]) == 3:
        return found, "the configuration in the file"
    if stem == "cifar":
        return _CIFAR10_NORM, "BiBench's CIFAR-10 configuration (assumed)"
    return _IMAGENET_NORM, "BiBench's ImageNet configuration (assumed)"


def _classes(meta: Mapping[str, Any], count: int) -> list[str]:
    names = meta.get("CLASSES")
    if (
        isinstance(names, list | tuple)
        and len(names) == count
        and all(isinstance(name, str) for name in names)
    ):
        return list(names)
    return []
