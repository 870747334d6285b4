"""Recipes: the settings that decide the result of a training run, and reading them from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.system.read_file import read_whole
from fdabnn_models.layers.binary import Scale

Optimizer = Literal["sgd", "adam"]
MOMENTUM = 0.9
# Learning rate and weight decay where the user names none. Decay only slows the flips of latent weights that
# Adam moves by equal steps: the paper trains without it where it uses Adam.
DEFAULT_LR: dict[str, float] = {"sgd": 0.1, "adam": 1e-3}
DEFAULT_WEIGHT_DECAY: dict[str, float] = {"sgd": 1e-4, "adam": 0.0}
_FOLDER = "recipes"


_LIMITS: dict[str, tuple[float, float]] = {
    "epochs": (1, 10**6),
    "batch_size": (2, 10**6),
    "lr": (1e-12, 1e6),
    "weight_decay": (0, 1e6),
    "seed": (0, 2**32 - 1),
    "plain_epochs": (0, 10**6),
}


@dataclass(frozen=True)
class Recipe:
    """The settings that decide the result of a run; a run resumes only under an equal recipe.

    The number of threads or ranks and compilation are left out: they may change when a run is resumed, and
    change results only as far as another order of sums and smaller batch norm groups do.

    The last ``plain_epochs`` epochs train without random crops: the network settles on images like those it
    will see (He et al. 2019, "Data Augmentation Revisited", arXiv 1909.09148).
    """

    arch: str
    epochs: int
    optimizer: Optimizer = "sgd"
    batch_size: int = 128
    lr: float = DEFAULT_LR["sgd"]
    weight_decay: float = DEFAULT_WEIGHT_DECAY["sgd"]
    seed: int = 0
    scale: Scale = "tensor"
    amp: bool = False
    plain_epochs: int = 0
    init: str = ""


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = resources.files("fdabnn_models") / _FOLDER
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def read_recipe(name: str) -> dict[str, Any]:
    """Values of a recipe: the name of one that comes with the package, or the path of a YAML file.

    Raises:
        UsageError: there is none, or it is no mapping, or has a key or value that no recipe has.
        RuntimeMissingError: PyYAML is not installed.
    """
    try:
        import yaml
    except ModuleNotFoundError:
        raise RuntimeMissingError("--recipe needs PyYAML: install it with  pip install pyyaml") from None
    if name in recipe_names():
        text = (resources.files("fdabnn_models") / _FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    elif name.endswith((".yaml", ".yml")):
        text = read_whole(Path(name), "recipe").decode("utf-8", "replace")
    else:
        raise UsageError(
            f"there is no recipe {name!r}: known are {', '.join(recipe_names())}, or name a .yaml file"
        )
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{name} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{name} is not a recipe: it holds a {type(values).__name__}, not keys with values")
    return _checked(values, name)


def _checked(values: Mapping[Any, Any], name: str) -> dict[str, Any]:
    known = {field.name: field.type for field in fields(Recipe)}
    for key, value in values.items():
        if key not in known:
            raise UsageError(f"{name} has the key {key!r}, which no recipe has; known are {', '.join(known)}")
        if not _fits(str(known[key]), value):
            raise UsageError(f"{name} has {key}: {value!r}, which is no {known[key]}")
    return {str(key): float(value) if known[key] == "float" else value for key, value in values.items()}


def _fits(kind: str, value: Any) -> bool:
    if kind == "Optimizer":
        return value in get_args(Optimizer)
    if kind == "Scale":
        return value in get_args(Scale)
    if kind == "float":
        return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return isinstance(value, bool if kind == "bool" else str)


def merge(read: Mapping[str, Any], given: Mapping[str, Any]) -> Recipe:
    """A recipe from values that were read and options that override them; None is an option not given.

    Raises:
        UsageError: neither names the architecture or the number of epochs, or a number is out of its limits.
    """
    values = {**read, **{key: value for key, value in given.items() if value is not None}}
    for key, option in (("arch", "--arch, --model"), ("epochs", "--epochs")):
        if not values.get(key):
            raise UsageError(f"no {key}: give {option} or a --recipe that names it")
    optimizer = values.get("optimizer", "sgd")
    values.setdefault("lr", DEFAULT_LR[optimizer])
    values.setdefault("weight_decay", DEFAULT_WEIGHT_DECAY[optimizer])
    recipe = Recipe(**values)
    _check_limits(recipe)
    return recipe


def _check_limits(recipe: Recipe) -> None:
    """Refuses numbers with which no run can learn, or PyTorch can do nothing."""
    for key, (low, high) in _LIMITS.items():
        value = getattr(recipe, key)
        if not low <= value <= high:
            raise UsageError(f"--{key.replace('_', '-')} takes a number from {low} to {high}, not {value}")
