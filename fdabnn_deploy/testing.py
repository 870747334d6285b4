"""For the tests of a repository that exports models: `assert_bit_exact`.

    def test_the_export_computes_what_the_model_computes() -> None:
        assert_bit_exact("model.pt", "build/model.tflite", "random:64")

docs/users-ci.md has the whole recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.verify.comparison import compare_models
from fdabnn_deploy.verify.comparison_report import ComparisonReport
from fdabnn_deploy.verify.metrics import Difference

if TYPE_CHECKING:
    from torch import nn

__all__ = ["assert_bit_exact"]


def assert_bit_exact(
    model_a: str | Path | nn.Module,
    model_b: str | Path | nn.Module,
    inputs: str | Path | FloatArray | None = None,
    *,
    runtimes: Sequence[str] = (),
    **reading: Any,
) -> ComparisonReport:
    """Asserts that two models compute the same bits, each on its own runtime.

    Equal are values whose 32 bits are, zeros of either sign, and any two NaN (`fdabnn_deploy.verify.metrics`). A checkpoint or module
    stands for the graph that an export makes of it, with the numerics that the other side's file records. A file also has to give its
    bits on every further runtime that is installed for it.

    Args:
        model_a: a checkpoint, an ONNX file or a TFLite file; or a module in eval mode, beside such a file.
        model_b: likewise.
        inputs: what `fdabnn-parity --inputs` takes: an `.npz` file, a folder of images, `random:N`; or an array [N, C, H, W].
        runtimes: names of further runtimes that the files have to give the same bits on, such as `qemu-aarch64`.
        **reading: how to read a checkpoint or module, as `fdabnn_deploy.compare_models` takes it: arch, model, mean, std, ...

    Returns:
        The comparison, for further assertions.

    Raises:
        AssertionError: a value differs. The message names the first tensor that does, in the order of computation, its layer, the index
            and both values. Also where the two were never meant to have equal bits, as files with float numerics are; it says so.
        FdabnnError: nothing was compared: `UsageError`, `ModelRefusedError`, `RuntimeMissingError`. A test framework shows those as errors
            of the test, not as a model that computes something else. `ParityError` is not among them: an export raises it.
    """
    found = compare_models(model_a, model_b, inputs, runtimes=runtimes, **reading)
    if found.comparison.equal and found.passed:
        return found
    if found.comparison.equal:
        # One of the files differs from itself on another runtime.
        raise AssertionError(found.verdict_text)
    # The inner tensors cost time and memory, so they are computed only where there is something to find.
    layered = compare_models(model_a, model_b, inputs, per_layer=True, **reading)
    raise AssertionError(_message(layered))


def _message(found: ComparisonReport) -> str:
    a, b = found.a.path, found.b.path
    compared = found.comparison
    head = f"{a} and {b} differ: {compared.differing} of {compared.values} output values on {found.samples.description}"
    row = found.first_difference
    if row is not None and row.comparison.first is not None:
        where = f"tensor {row.tensor}" + (f" of layer {row.layer}" if row.layer else "")
        first = row.comparison.first
    else:
        assert compared.first is not None
        where, first = "an output", compared.first
    told = f"{head}; first in {where}, {_values(first, a, b)}"
    return f"{told}; equal bits were not promised: {found.not_judged}" if found.not_judged else told


def _values(first: Difference, a: str, b: str) -> str:
    image, *index = first.index
    return (
        f"input {image}, index {index}: {first.a!r} ({first.a_bits}) in {Path(a).name}, "
        f"{first.b!r} ({first.b_bits}) in {Path(b).name}"
    )
