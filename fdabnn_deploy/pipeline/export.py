"""The whole way from a checkpoint or module to verified files: the Python API behind `fdabnn-export`.

Files are converted into a hidden folder inside the output folder, verified there, and moved to their names
only when every check has passed. So whatever goes wrong, a file that appears under its name is a verified
one.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from fdabnn_deploy.data import samples as sample_sets
from fdabnn_deploy.data.sample_set import SampleSet
from fdabnn_deploy.data.samples import Samples
from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.exact.record import Mode
from fdabnn_deploy.frontend import checkpoint
from fdabnn_deploy.frontend.capture import Captured, capture
from fdabnn_deploy.frontend.capture.final_softmax import leave_out_softmax
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ChannelOrder, ImageLayout, InputFormat
from fdabnn_deploy.ir.ops import BinaryConv2d, BinaryLinear, FloatArray
from fdabnn_deploy.ir.sign_zero import CHOICES, SignZero
from fdabnn_deploy.pipeline import few_slices, input_limits, pixel_inputs, report, verification
from fdabnn_deploy.pipeline.coverage import AllowedFloat, check_coverage
from fdabnn_deploy.pipeline.few_slices import FidelityChoice
from fdabnn_deploy.pipeline.form import exact_form, float_form
from fdabnn_deploy.pipeline.lint_network import lint_deployed
from fdabnn_deploy.pipeline.prices import forms_of, price_rows
from fdabnn_deploy.pipeline.report import ExportParityError, Report
from fdabnn_deploy.pipeline.target_checks import (
    check_capsule,
    check_kernels,
    check_target,
    check_via,
    find_targets,
    options_for,
)
from fdabnn_deploy.pipeline.work import check_work
from fdabnn_deploy.runtimes.torch_module import run_module
from fdabnn_deploy.system import choices
from fdabnn_deploy.system.environment import environment
from fdabnn_deploy.system.files import check_outputs, move_whole
from fdabnn_deploy.system.one_at_a_time import one_at_a_time
from fdabnn_deploy.system.progress import Progress, Stages
from fdabnn_deploy.system.scratch import ScratchFolder
from fdabnn_deploy.system.side_by_side import side_by_side
from fdabnn_deploy.targets.converter import Constants, Kernels, Via
from fdabnn_deploy.targets.target import Target
from fdabnn_deploy.transforms.deploy import Deployed, deploy
from fdabnn_deploy.verify import capsule_replay, metrics
from fdabnn_deploy.verify.zeros.zeros_at_signs import count_sign_zeros

_ATTEMPTS = 3
EARLY = 0.5
"""Seconds in which samples that are not there or wrong show, before the network is captured."""

SIGN_ZERO_IMAGES = 64


@one_at_a_time
def export(
    source: str | Path | torch.nn.Module | checkpoint.Source,
    example_input: torch.Tensor | None = None,
    *,
    targets: str | Iterable[str] = "all",
    out: str | Path = ".",
    samples: str | Path | Samples | FloatArray | None = None,
    batch: int | str | None = 1,
    allow_float: str | Iterable[str] = (),
    numerics: Mode = "exact",
    kernels: Kernels = "standard",
    via: Via = "own",
    sign_zero: SignZero = "plus",
    input_format: InputFormat = "float32",
    channel_order: ChannelOrder = "rgb",
    layout: ImageLayout = "nchw",
    constants: Constants = "integer",
    capsule: str | Path | None = None,
    allow_change: bool = False,
    fidelity: FidelityChoice = "decisions",
    max_drop: float | None = None,
    progress: Progress | None = None,
    memory_limit: int | None = None,
    **reading: Any,
) -> Report:
    """Exports a trained network and verifies every file on its runtime.

    Args:
        source: a checkpoint file, an eval-mode module, or what `fdabnn_deploy.frontend.checkpoint.read` gave.
        example_input: with a module: a float tensor [N, C, H, W], of which the shape matters.
        targets: such as "onnx"; "all" is ONNX and TFLite. Any other installed target is named.
        out: folder of the files `<name>.<suffix>`; made if missing.
        samples: what to verify on: as `fdabnn_deploy.data.samples.load` takes it, or normalised [N, C, H, W].
        batch: the batch size written into the files, None or "dynamic" for any.
        kernels: of ONNX files: "standard" operators, which every runtime has, or "packed" ones (docs/custom-ops.md). TFLite files are
            always packed.
        via: who writes TFLite files: "own" this project's writer, "lce" TensorFlow and the converter of Larq Compute Engine, which have to
            be installed. Both give the same bits; "both" writes our own file and compares one of LCE's converter with it.
        allow_float: module paths of layers that may come out as float layers where they are meant to be binary, or patterns such as
            `layer1.*`; `*` for all, which lets a network pass that is not binary at all.
        capsule: write a golden capsule (docs/capsule.md) of the export: of its TFLite file, else of the ONNX file.
        allow_change: accept a deployed graph that is not the trained network, of which files, report and every later comparison then say so
            (docs/gate.md).
        fidelity: "decisions" keeps those of the trained network; "accuracy" takes one or two slices for every float layer, as long as the
            accuracy on labelled samples stays (docs/gate.md#accuracy-instead-of-decisions).
        max_drop: with the latter, percentage points of accuracy that may be lost; 1 by default.
        numerics: "exact" promises equal bits on every runtime, "float" keeps the float weights and reports differences.
        sign_zero: what a zero counts as at a sign that is written so that it stays 0, such as `torch.sign`: "plus" and "minus" +1 and -1,
            "exact" 0, as the mean of two signs.
        input_format: "float32": files take normalised images; "pixels": they take bytes 0 .. 255, uint8, and normalise them themselves,
            with the mean and std of the network (docs/input-contract.md).
        channel_order: of pixels: "rgb" as the network was trained, "bgr" for the opposite.
        layout: of pixels in ONNX files: "nchw" or "nhwc". TFLite files are always NHWC.
        constants: "integer": weights that are integers of 8 bits are stored so; "float": as floats, for runtimes that want them so.
        progress: told of every stage.
        memory_limit: bytes that a compressed checkpoint or samples may expand to, by default `fdabnn_deploy.system.memory.EXPANDED`.
        **reading: of `fdabnn_deploy.frontend.checkpoint.read` (arch, arch_args, model, drop_noise, input_shape, mean,
            std, input_range, name) or, with a module, of `fdabnn_deploy.frontend.checkpoint.from_module`.

    Returns:
        The report; its `verdict` says what is known of the files.

    Raises:
        UsageError: wrong arguments.
        ModelRefusedError: the checkpoint cannot be deployed as it is.
        ExportParityError: a file does not compute what the module computes, or the deployed graph does not; nothing was written.
        ParityError: fewer slices lose accuracy; nothing was written.
        RuntimeMissingError: a package is missing.
    """
    begin = time.perf_counter()
    stages = Stages(progress)
    file_batch = choices.batch_size(batch)
    chosen = find_targets(targets)
    _check_choices(numerics, kernels, via, constants, sign_zero, fidelity, chosen, capsule)
    for target in chosen:
        check_target(target, exact=numerics == "exact")
    most = few_slices.most_drop(fidelity, max_drop, numerics)
    floats, allow_change = AllowedFloat(allow_float), choices.yes_or_no(allow_change, "allow_change")
    out = Path(out)
    with stages.run("read") as stage:
        network = pixel_inputs.with_format(
            _read(source, example_input, reading, memory_limit), input_format, channel_order, layout
        )
        _check_name(network.info.name)
        places = {target.name: out / f"{network.info.name}{target.suffix}" for target in chosen}
        _check_outputs(places, None if capsule is None else Path(capsule), source)
        floats.check_module(network.module)
        fda = len(network.noise.layers)
        stage.detail = f"{network.arch}, {network.dialect}" + (f", {fda} FDA layers" if fda else "")
        stage.bytes = network.bytes or None
    with ThreadPoolExecutor(1) as pool:
        # Unpacking a data set takes seconds; it does so while PyTorch traces.
        loading = pool.submit(_samples, samples, network, memory_limit, most)
        # Whether there are labels enough is known when they are read.
        _raise_early(loading, EARLY if most is None else None)
        captured, deployed = _deploy(network, stages, sign_zero, exact=numerics == "exact")
        coverage = check_coverage(deployed.coverage, floats)
        linted = lint_deployed(captured, deployed, floats)
        coverage = tuple(replace(row, codes=linted.codes(row.module)) for row in coverage)
        with stages.run("samples") as stage:
            inputs = loading.result()
            stage.detail = inputs.description
            check_work(deployed.graph, inputs, file_batch)
            fed = inputs.fed(network.info)
        plain, deployed = deployed.graph, pixel_inputs.take(deployed, network.info, exact=numerics == "exact")
        form = (
            exact_form(network, captured, deployed, plain, inputs, fed, most, stages, sign_zero)
            if numerics == "exact"
            else float_form(deployed)
        )
        cut = form.numerics.cuts.get("input")
        limits = input_limits.limits(network, inputs, cut, form.looked_at)
        warnings = input_limits.warnings(network, inputs)
        truth = verification.reference(
            *(network.module, captured, deployed, form.graph, form.grids, inputs, fed, stages),
            allow_change=allow_change,
            judged=form.judged,
        )
        with stages.run("zeros") as stage:
            zeros = _sign_zeros(captured, inputs, sign_zero)
            stage.detail = f"{zeros.sign_values} values at signs on {zeros.images} inputs"
        noise = _dropped_noise(network, captured, truth)
    with _work_folder(out) as work:
        record = replace(form.numerics, sign_zero=sign_zero)
        accepted = truth.gate.failures if allow_change else ()
        info = replace(
            network.info,
            numerics=record.to_text(),
            allowed_change="; ".join(accepted),
            fidelity=form.said,
        )
        checked = side_by_side(
            [
                partial(
                    verification.convert_and_check,
                    target,
                    form.composed,
                    info,
                    work,
                    options_for(target, file_batch, kernels, via, constants),
                    truth,
                )
                for target in chosen
            ],
            stages,
        )
        latency = verification.latency_rows(checked, fed, stages)
        priced = (
            ()
            if form.grids is None
            else price_rows(
                *(chosen, checked, latency, forms_of(form, plain, info), info),
                lambda target: options_for(target, file_batch, kernels, via, constants),
                *(work, stages),
            )
        )
        refused = () if allow_change else truth.gate.failures
        failures = (*refused, *verification.failures(truth, checked))
        result = Report(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            environment=environment(),
            model=_model(network, source),
            samples=SampleSet(
                inputs.description,
                inputs.argument,
                len(inputs),
                inputs.labels is not None,
                inputs.synthetic,
                inputs.notes,
            ),
            input_limits=limits,
            stages=tuple(stages.finished),
            coverage=coverage,
            passes=tuple(
                report.Pass(p.name, p.applied, p.notes, p.skipped) for p in (*deployed.passes, *form.passes)
            ),
            sign_zeros=zeros,
            weight_zeros=dict(deployed.weight_zeros),
            dropped_noise=noise,
            artifacts=tuple(verification.artifact_file(file.artifact, out) for file in checked),
            numerics=report.NumericsTable(numerics, form.grids or ()),
            truth=truth.truth,
            gate=truth.gate,
            fidelity=form.fidelity,
            parity=(*truth.parity, *(row for file in checked for row in file.parity)),
            absent=tuple(row for file in checked for row in file.absent),
            proofs=tuple(proof for file in checked for proof in file.proofs),
            twins=tuple(row for file in checked for row in file.layer_checks),
            latency=latency,
            prices=priced,
            sizes=_sizes(plain, network.module, network.bytes),
            notes=(*network.notes, *captured.notes, *warnings, *inputs.notes),
            warnings=warnings,
            allowed_changes=accepted,
            failures=failures,
            seconds=time.perf_counter() - begin,
        )
        if failures:
            raise ExportParityError(
                "; ".join(failures) + f"; no file was written{_remedy(result, refused)}", result
            )
        if capsule is not None:
            with stages.run("capsule", str(capsule)) as stage:
                files = [file.artifact.path for file in checked]
                capsule_replay.write_golden(Path(capsule), files, [fed], truth.expected)
                stage.bytes = Path(capsule).stat().st_size
        for file in checked:
            move_whole(file.artifact.path, out / file.artifact.path.name)
    return result


def _remedy(failed: Report, refused: Sequence[str]) -> str:
    """A remedy for an export that failed, where there is one."""
    if refused:
        return "; --allow-change exports it all the same, and says so in every file"
    if failed.numerics.mode == "float" and not all(row.passed for row in failed.parity):
        return (
            "; exact numerics, the default, give the same bits on every runtime: leave out --numerics float"
        )
    return ""


def _check_choices(
    numerics: Mode,
    kernels: Kernels,
    via: Via,
    constants: Constants,
    sign_zero: SignZero,
    fidelity: FidelityChoice,
    chosen: Sequence[Target],
    capsule: str | Path | None,
) -> None:
    """Refuses choices that do not exist, or contradict each other.

    Raises:
        UsageError: see there.
    """
    choices.one_of(numerics, get_args(Mode), "numerics")
    choices.one_of(kernels, get_args(Kernels), "kernels")
    choices.one_of(via, get_args(Via), "via")
    choices.one_of(constants, get_args(Constants), "constants")
    choices.one_of(sign_zero, CHOICES, "sign_zero")
    choices.one_of(fidelity, get_args(FidelityChoice), "fidelity")
    check_kernels(kernels, chosen)
    check_via(via, chosen)
    if via == "both" and numerics != "exact":
        raise UsageError("--via both compares the bits of two writers' files: it needs exact numerics")
    if capsule is not None and numerics != "exact":
        raise UsageError("a capsule holds bits that every runtime has to compute: it needs exact numerics")
    if capsule is not None:
        check_capsule(chosen)


def _raise_early(loading: Future[Samples], seconds: float | None) -> None:
    """Raises what is wrong with the samples where it shows at once, before the network is captured."""
    wait([loading], timeout=seconds)
    if loading.done() and loading.exception() is not None:
        loading.result()


def _check_name(name: object) -> None:
    """Refuses what would name a folder, or a file elsewhere or without a name."""
    good = isinstance(name, str) and name not in {"", ".", ".."} and not {"/", "\0"} & set(name)
    if not good:
        raise UsageError(f"the name {name!r} is not that of a file: choose another with --name")


def _read(
    source: str | Path | torch.nn.Module | checkpoint.Source,
    example_input: torch.Tensor | None,
    options: Mapping[str, Any],
    memory_limit: int | None,
) -> checkpoint.Source:
    if isinstance(source, checkpoint.Source):
        return source
    if isinstance(source, str | Path):
        if example_input is not None:
            raise UsageError("an example input goes with a module; a checkpoint says its input shape itself")
        return checkpoint.read(source, memory_limit=memory_limit, **options)
    if example_input is None:
        raise UsageError("a module needs an example input: export(module, torch.zeros(1, 3, 32, 32))")
    return checkpoint.from_module(source, example_input, **options)


def _samples(
    given: str | Path | Samples | FloatArray | None,
    network: checkpoint.Source,
    memory_limit: int | None,
    most: float | None,
) -> Samples:
    if isinstance(given, Samples):
        found = given
    elif isinstance(given, np.ndarray):
        found = sample_sets.from_array(given, network.info)
    else:
        found = sample_sets.load(given, network.info, memory_limit)
    if most is not None:
        few_slices.check_labelled(found, most)
    return found


def _deploy(
    network: checkpoint.Source, stages: Stages, sign_zero: SignZero, *, exact: bool
) -> tuple[Captured, Deployed]:
    with stages.run("capture") as stage:
        captured = capture(network.module, network.info.input_shape, without_softmax=exact)
        if captured.without_softmax and network.noisy_module is not None:
            leave_out_softmax(network.noisy_module)
        stage.detail = f"{len(captured.graph)} operators"
    with stages.run("passes") as stage:
        deployed = deploy(captured, exact=exact, sign_zero=sign_zero)
        applied = sum(done.applied for done in deployed.passes)
        stage.detail = f"{applied} rewrites, {len(deployed.graph)} operators left"
    return captured, deployed


def _sign_zeros(captured: Captured, inputs: Samples, sign_zero: SignZero) -> report.SignZeros:
    found = count_sign_zeros(captured, inputs.head(SIGN_ZERO_IMAGES).images, sign_zero)
    return report.SignZeros(
        images=found.images,
        sign_values=found.values,
        zeros=dict(found.zeros),
        top1_agreement=found.top1_agreement,
        max_abs=found.largest_change,
        sign_zero=sign_zero,
        changed=found.changed,
        structural=dict(found.structural),
    )


def _dropped_noise(
    network: checkpoint.Source, captured: Captured, truth: verification.Reference
) -> report.DroppedNoise | None:
    if network.noisy_module is None:
        return None
    noisy = run_module(network.noisy_module, truth.samples.images, captured.outputs)
    return report.DroppedNoise(
        alpha={layer.name: layer.alpha for layer in network.noise.noisy},
        top1_agreement=metrics.agreement(noisy, truth.trained).share,
        max_abs=metrics.compare_outputs(noisy, truth.trained).max_abs,
        accuracy_noisy=metrics.accuracy(noisy, truth.samples.labels),
        accuracy_binary=truth.truth.accuracy_trained,
    )


def _model(network: checkpoint.Source, source: object) -> report.Model:
    info = network.info
    return report.Model(
        name=info.name,
        arch=network.arch,
        dialect=network.dialect,
        file=str(source) if isinstance(source, str | Path) else None,
        bytes=network.bytes,
        sha256=info.checkpoint_sha256,
        input_shape=info.input_shape,
        mean=info.mean,
        std=info.std,
        input_range=info.input_range,
        classes=info.classes,
        training=dict(network.training),
    )


def _sizes(graph: Graph, module: torch.nn.Module, checkpoint_bytes: int) -> report.Sizes:
    binary = total = 0
    for node in graph:
        count = sum(value.size for value in node.op.attributes().values() if isinstance(value, np.ndarray))
        total += count
        if isinstance(node.op, BinaryConv2d | BinaryLinear):
            binary += node.op.weight.size
    # Passes make large constants of few parameters, such as offsets at the borders; those are no weights of the network.
    total = min(total, sum(tensor.numel() for tensor in (*module.parameters(), *module.buffers())))
    return report.Sizes(checkpoint_bytes, 4 * total, binary, max(total - binary, 0))


def _check_outputs(places: Mapping[str, Path], capsule: Path | None, source: object) -> None:
    """Before the work: whether every file can be written, and takes the place of no other that is asked for or read."""
    outputs = {f"the {target} file": path for target, path in places.items()}
    checkpoint_file = Path(source) if isinstance(source, str | Path) else None
    check_outputs({**outputs, "--capsule": capsule}, {"the checkpoint": checkpoint_file})


@contextmanager
def _work_folder(out: Path) -> Iterator[Path]:
    """A hidden folder inside `out`, on the same file system; a folder made for nothing is removed again."""
    created = not out.exists()
    try:
        work = _new_folder(out)
    except OSError as error:
        raise UsageError(f"cannot write to {out}: {error.strerror}") from None
    try:
        yield work.path
    finally:
        work.cleanup()
        if created:
            # Another export may have begun to use it; then it is not empty.
            with suppress(OSError):
                out.rmdir()


def _new_folder(out: Path) -> ScratchFolder:
    for _ in range(_ATTEMPTS):
        out.mkdir(parents=True, exist_ok=True)
        # Another export, which had made `out` for nothing, removes it at this moment.
        with suppress(FileNotFoundError):
            return ScratchFolder(".fdabnn-export-", out)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
