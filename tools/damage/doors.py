"""The doors through which files come in, each with sound files to damage and what is done with one that is let in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from damage.kinds import KINDS, Damage, inside_a_zip
from fdabnn_deploy.conformance import network, network_inputs
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter

SHAPE = (3, 9, 9)
INFO = ModelInfo("network", SHAPE, mean=(0.5,) * 3, std=(0.25,) * 3)


@dataclass(frozen=True)
class Door:
    """See the module.

    Attributes:
        name: of it.
        suffix: of its files.
        make: writes two sound files.
        enter: opens a file and uses it; gives back a digest of what came of it.
        modules: that are imported before processes part, which start no threads by that.
        kinds: of damage, by name.
        unseen: those that no checksum can tell: a file that is let in may hold something else.
    """

    name: str
    suffix: str
    make: Callable[[Path, Path], None]
    enter: Callable[[Path], str]
    modules: tuple[str, ...]
    kinds: dict[str, Damage]
    unseen: frozenset[str] = frozenset()


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _arrays(*arrays: object) -> str:
    return _digest(*(np.ascontiguousarray(np.asarray(array)).tobytes() for array in arrays))


def _make_checkpoints(a: Path, b: Path) -> None:
    import torch

    from fdabnn_models.architectures.resnet_cifar import resnet20
    from fdabnn_models.architectures.shake_testing import shake
    from fdabnn_models.checkpoint import save_checkpoint

    for seed, path in enumerate((a, b)):
        torch.manual_seed(seed)
        save_checkpoint(
            path,
            arch="resnet20",
            arch_args={},
            state_dict=shake(resnet20(), alpha=0.0, seed=seed).state_dict(),
            training={"epochs": 0},
            input_shape=(3, 32, 32),
            mean=(0.5,) * 3,
            std=(0.25,) * 3,
            input_range=(-2.0, 2.0),
            classes=[str(i) for i in range(10)],
            ranges={},
        )


def _enter_checkpoint(path: Path) -> str:
    from fdabnn_deploy.frontend import checkpoint

    found = checkpoint.read(path, drop_noise=True)
    state = found.module.state_dict()
    info = (found.info.mean, found.info.std, found.info.input_shape, found.info.classes)
    return _digest(repr(info).encode(), *(state[name].numpy().tobytes() for name in sorted(state)))


def _make_samples(a: Path, b: Path) -> None:
    for seed, path in enumerate((a, b)):
        rng = np.random.default_rng(seed)
        np.savez(path, images=rng.standard_normal((6, *SHAPE)).astype(np.float32), labels=np.arange(6))


def _enter_samples(path: Path) -> str:
    from fdabnn_deploy.data import samples

    found = samples.load(str(path), INFO)
    return _arrays(found.images, () if found.labels is None else found.labels)


def _make_models(target: str) -> Callable[[Path, Path], None]:
    def make(a: Path, b: Path) -> None:
        for batch, path in ((1, a), (2, b)):
            find_converter(target).convert(network(), INFO, path, ConvertOptions(batch))

    return make


def _enter_model(path: Path) -> str:
    """As `fdabnn-profile` lets one in: a file that has changed since its export is not measured."""
    from fdabnn_deploy.measure.profiles.whole_model import whole_model

    whole_model(path, path.parent / "whole", False)
    session = registry.for_file(path).open(path)
    return _arrays(*session.run(network_inputs(2)))


def _make_capsules(a: Path, b: Path) -> None:
    from fdabnn_deploy.measure.profiles import golden_capsule

    for batch, path in ((1, a), (2, b)):
        model = path.with_suffix(".tflite")
        find_converter("tflite").convert(network(), INFO, model, ConvertOptions(batch))
        golden_capsule.make(model, path)


def _enter_capsule(path: Path) -> str:
    from fdabnn_deploy.verify.capsule import read_capsule, to_bytes
    from fdabnn_deploy.verify.capsule_replay import replay

    found = replay(path)
    return _digest(repr((found.outputs.values, found.differing)).encode(), to_bytes(read_capsule(path)))


def _make_states(a: Path, b: Path) -> None:
    import torch

    from fdabnn_models.training.state import write_state

    for seed, path in enumerate((a, b)):
        torch.manual_seed(seed)
        layer = torch.nn.Conv2d(8, 8, 3)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
        layer(torch.ones(1, 8, 5, 5)).sum().backward()
        optimizer.step()
        content = {"recipe": {"epochs": 3}, "data": "digest", "finished": 1, "rows": [{"epoch": 1.0}]}
        write_state(path, {**content, "model": layer.state_dict(), "optimizer": optimizer.state_dict()})


def _enter_state(path: Path) -> str:
    import torch

    from fdabnn_models.training.state import checksum, read_state

    return checksum(read_state(path, torch.device("cpu")))


_ZIP = {**KINDS, "inside the zip": inside_a_zip}
_UNSEEN = frozenset({"inside the zip"})
_TORCH = (
    "torch",
    "fdabnn_deploy.frontend.checkpoint",
    "fdabnn_models.architectures.resnet_cifar",
    "fdabnn_models.training.state",
)
_LITERT = (
    "ai_edge_litert.interpreter",
    "fdabnn_tflite.runtime.litert",
    "fdabnn_deploy.verify.capsule_replay",
)
_ORT = ("onnxruntime", "fdabnn_onnx.runtime.onnxruntime")
DOORS = (
    Door("checkpoint", ".pt", _make_checkpoints, _enter_checkpoint, _TORCH, _ZIP, _UNSEEN),
    Door("samples", ".npz", _make_samples, _enter_samples, ("fdabnn_deploy.data.samples",), _ZIP, _UNSEEN),
    Door("onnx", ".onnx", _make_models("onnx"), _enter_model, _ORT, KINDS),
    Door("tflite", ".tflite", _make_models("tflite"), _enter_model, _LITERT, KINDS),
    Door("capsule", ".capsule", _make_capsules, _enter_capsule, _LITERT, KINDS),
    Door("state", ".state", _make_states, _enter_state, _TORCH, _ZIP),
)
