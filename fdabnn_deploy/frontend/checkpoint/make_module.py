"""Making the module of a state dict: a registered architecture or the user's own, loaded strictly."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from fdabnn_deploy.errors import FdabnnError, ModelRefusedError, UsageError
from fdabnn_deploy.frontend.checkpoint.fit import Fitted, describe_fit, fit_keys
from fdabnn_deploy.frontend.checkpoint.unwrap import StateDict, shorten
from fdabnn_deploy.system.plugins import load, names

GROUP = "fdabnn_deploy.architectures"
_CLASS_ARGUMENTS = (
    "num_classes",
    "classes",
    "n_classes",
    "nb_classes",
    "class_num",
    "out_features",
    "num_outputs",
)
"""Names of the argument of factories for the number of outputs, the usual ones first."""


def architecture_names() -> list[str]:
    """Names of all installed architectures."""
    return names(GROUP)


def parse_arch_args(pairs: Iterable[str]) -> dict[str, Any]:
    """Arguments of a factory as typed on a command line: `["num_classes=100", "bireal=true"]`.

    Values are Python literals, `true`, `false` and `none` in any case, or else plain text.

    Raises:
        UsageError: a pair without `=` or with a name that is not a Python name.
    """
    parsed: dict[str, Any] = {}
    words = {"true": True, "false": False, "none": None}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UsageError(f"'{pair}' is not NAME=VALUE, as in  --arch-arg num_classes=100")
        try:
            parsed[name] = words[text.lower()] if text.lower() in words else ast.literal_eval(text)
        except (ValueError, SyntaxError):
            parsed[name] = text
    return parsed


def build_architecture(
    name: str, args: Mapping[str, Any], *, blame: type[FdabnnError] = UsageError
) -> nn.Module:
    """Makes a registered architecture.

    Args:
        name: of an entry point in the group `fdabnn_deploy.architectures`.
        args: keyword arguments of its factory.
        blame: the error to raise for wrong arguments: `UsageError` where the user gave them,
            `ModelRefusedError` where a file did.

    Raises:
        UsageError: there is no such architecture.
        RuntimeMissingError: it needs a package that is not installed.
    """
    return _call(load(GROUP, name, "architecture"), f"architecture '{name}'", args, blame)


def find_factory(spec: str) -> Any:
    """The user's own `package.module:factory`, imported with the current folder on the import path. This runs the user's code.

    Raises:
        UsageError: the text has another form, or the import fails: the reason is named.
    """
    module_name, colon, attribute = spec.partition(":")
    if not colon or not module_name or not attribute or "/" in module_name:
        raise UsageError(f"--model takes package.module:factory, such as  nets.small:SmallNet, not '{spec}'")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        factory: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            factory = getattr(factory, part)
    except AttributeError:
        raise UsageError(f"--model {spec}: the module {module_name} has no '{attribute}'") from None
    except ModuleNotFoundError as error:
        where = (
            f" (looked in {here} and the Python path)"
            if error.name and module_name.startswith(error.name)
            else ""
        )
        raise UsageError(f"--model {spec}: there is no module '{error.name}'{where}") from None
    except (Exception, SystemExit) as error:
        raise UsageError(f"--model {spec}: importing {module_name} failed: {_brief(error)}") from error
    finally:
        sys.path.remove(here)
    return factory


def call_factory(factory: Any, what: str, args: Mapping[str, Any]) -> nn.Module:
    """Makes the user's own network: the factory is a function or class that returns a `torch.nn.Module`, or such a module itself.

    Raises:
        UsageError: the call fails: the reason is named.
    """
    return _call(factory, what, args, UsageError)


def factory_parameters(factory: Any) -> tuple[str, ...]:
    """The names of the arguments that a factory takes; empty for a module, or where Python cannot tell."""
    if isinstance(factory, nn.Module):
        return ()
    try:
        return tuple(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        return ()


def factory_shape(factory: Any) -> Any:
    """The `input_shape` that a factory function says of its networks, or None."""
    while factory is not None:
        shape = getattr(factory, "input_shape", None)
        if shape is not None:
            return shape
        # functools.partial and functools.wraps keep what they hold.
        factory = getattr(factory, "func", None) or getattr(factory, "__wrapped__", None)
    return None


def _call(factory: Any, what: str, args: Mapping[str, Any], blame: type[FdabnnError]) -> nn.Module:
    if isinstance(factory, nn.Module):
        if args:
            raise blame(f"{what} is a module already: it takes no arguments ({shorten(list(args))})")
        return factory
    if not callable(factory):
        raise blame(
            f"{what} is a {type(factory).__name__}, not a function or class that makes a torch.nn.Module"
        )
    try:
        inspect.signature(factory).bind(**args)
    except TypeError as error:
        raise blame(
            f"{what} does not take these arguments: {error}; it takes {_signature(factory)}"
        ) from None
    except ValueError:
        pass  # a callable without a signature: the call itself will tell
    try:
        module = factory(**args)
    except FdabnnError:
        raise
    except (Exception, SystemExit) as error:
        raise blame(f"{what} failed with {dict(args) or 'its default arguments'}: {_brief(error)}") from error
    if not isinstance(module, nn.Module):
        raise blame(f"{what} gave a {type(module).__name__}, not a torch.nn.Module")
    return module


def defaults_used(name: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an architecture's factory that are left at their defaults."""
    parameters = inspect.signature(load(GROUP, name, "architecture")).parameters
    empty = inspect.Parameter.empty
    return {key: p.default for key, p in parameters.items() if key not in args and p.default is not empty}


def load_strictly(
    module: nn.Module,
    state: StateDict,
    what: str,
    network: str,
    sample: Tensor | None,
    parameters: Sequence[str] = ("num_classes",),
) -> tuple[str, ...]:
    """Copies a state dict into a module, every key accounted for (see `fit_keys`); returns notes on what was left out.

    `num_batches_tracked` may be missing (it came late to PyTorch and
    evaluation ignores it). A module that makes parameters in its first forward (lazy modules, BiBench's noise
    on activations) is run once on `sample` if its keys do not fit before.

    Args:
        module: changed in place.
        state: from the file.
        what: how errors call the file.
        network: how errors call the module.
        sample: an input, or None where its shape is not known.
        parameters: the names of the arguments that the factory of the network takes, for advice.

    Raises:
        ModelRefusedError: missing, extra or misshapen tensors, all in one message with the likeliest cause.
    """
    given = state
    target = module.state_dict()
    fitted = fit_keys(given, target.keys(), what)
    if sample is not None and (fitted.state.keys() - target.keys() or _is_lazy(module)):
        with torch.no_grad():
            module.eval()
            try:
                module(sample)
            except Exception as error:
                raise ModelRefusedError(
                    f"{network} does not take an input of shape {tuple(sample.shape)}: {_brief(error)}; "
                    "name its shape with --input-shape C,H,W"
                ) from error
        target = module.state_dict()
        fitted = fit_keys(given, target.keys(), what)
    state = fitted.state
    missing = [key for key in target if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in target]
    misshapen = [
        key
        for key in target
        if key in state and _shape(target[key]) is not None and target[key].shape != state[key].shape
    ]
    if missing or extra or misshapen:
        lines = [f"{what} does not fit {network}:"]
        if missing:
            lines.append(f"  missing ({len(missing)}): {shorten(missing)}")
        if extra:
            lines.append(f"  extra ({len(extra)}): {shorten(extra)}")
        if misshapen:
            shapes = [
                f"{key} is {list(state[key].shape)}, not {list(target[key].shape)}" for key in misshapen
            ]
            lines.append(f"  other shapes ({len(misshapen)}): {shorten(shapes, 4)}")
        told = describe_fit(fitted, target)
        if told and not misshapen:
            lines.append(f"  {told}")
        lines.append(_likeliest_cause(fitted, target, missing, extra, misshapen, parameters))
        raise ModelRefusedError("\n".join(lines))
    module.load_state_dict(state, strict=False)
    return fitted.notes


def _shape(tensor: Tensor) -> Sequence[int] | None:
    return None if is_lazy(tensor) else tensor.shape


def _is_lazy(module: nn.Module) -> bool:
    return any(is_lazy(tensor) for tensor in module.state_dict().values())


def _likeliest_cause(
    fitted: Fitted,
    target: Mapping[str, Tensor],
    missing: list[str],
    extra: list[str],
    misshapen: list[str],
    parameters: Sequence[str],
) -> str:
    state = fitted.state
    if misshapen and not missing and not extra:
        last = [key.rpartition(".")[0] for key in target][-1]
        found, made = state[misshapen[0]].shape, target[misshapen[0]].shape
        if {key.rpartition(".")[0] for key in misshapen} == {last} and all(
            state[key].shape == (*found[:1], *target[key].shape[1:]) for key in misshapen
        ):
            return _other_classes(found[0], made[0], parameters)
    fitting = fitting_architectures(state)
    if fitting:
        return f"its keys and shapes fit {' and '.join(fitting)}: choose with --arch"
    change = "see --arch-arg" if parameters else "change the factory"
    if misshapen and not missing and not extra:
        return f"the network has other widths: {change}"
    if missing and not extra and not misshapen:
        return f"the file is incomplete, or the network has more layers than were trained: {change}"
    if extra and not missing and not misshapen:
        if fitted.prefix and all(f"{fitted.prefix}{key}" not in state for key in extra):
            return (
                "the network is complete; the file has more beside it: if it belongs to the network, give a factory of the whole; if not, "
                "save the network's own state_dict alone"
            )
        return "the file has more layers than the network: another factory, --arch or --arch-arg"
    if not target.keys() & state.keys():
        return "no key is the same: it belongs to another network (--arch or --model), or its layers have other names there than here"
    return "it belongs to another network or another version of it (--arch, --arch-arg or --model)"


def _other_classes(trained: int, made: int, parameters: Sequence[str]) -> str:
    said = f"only the last layer differs, in its classes: {trained} in the file, {made} in the network"
    named = next((name for name in _CLASS_ARGUMENTS if name in parameters), None)
    named = named or next((name for name in parameters if "class" in name.lower()), None)
    if named:
        return f"{said}: --arch-arg {named}={trained}"
    if parameters:
        return f"{said}: the factory takes {shorten(parameters)} (--arch-arg NAME=VALUE)"
    return f"{said}: give a factory that makes {trained}"


def fitting_architectures(state: StateDict) -> list[str]:
    """The registered architectures that, with default arguments, have the keys and shapes of a state dict."""
    fitting = []
    for name in architecture_names():
        try:
            factory: Callable[[], nn.Module] = load(GROUP, name, "architecture")
            with torch.device("meta"):
                target = factory().state_dict()
        except Exception:  # noqa: S112, BLE001 - a search for a hint: an architecture that cannot be made does not fit
            continue
        try:
            fitted = fit_keys(state, target.keys()).state
        except ModelRefusedError:
            continue
        shapes = {key: value.shape for key, value in fitted.items()}
        if shapes == {key: value.shape for key, value in target.items()}:
            fitting.append(name)
    return fitting


def _signature(factory: Callable[..., Any]) -> str:
    parameters = inspect.signature(factory).parameters.values()
    return (
        ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters) or "none"
    )


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
