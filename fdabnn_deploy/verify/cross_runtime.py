"""Cross-runtime comparison: a file on further runtimes than its default one. Exact files promise the same bits on all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fdabnn_deploy.data.samples import run_in_batches
from fdabnn_deploy.errors import ModelRefusedError, RuntimeMissingError
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.base import Session
from fdabnn_deploy.verify import metrics
from fdabnn_deploy.verify.metrics import Comparison


@dataclass(frozen=True)
class FurtherRuntime:
    """A further runtime: `session` runs the file there.

    It is None where the runtime refuses the file, for the reason `refused`, or is not installed, as `absent` says.
    """

    runtime: str
    version: str
    session: Session | None
    refused: str = ""
    absent: str = ""


@dataclass(frozen=True)
class RuntimeRow:
    """How a file compares with itself on another runtime.

    Attributes:
        path: of the file, as it was asked for.
        runtime: the further one.
        version: of it.
        against: the file's default runtime, the reference in `Difference.a`.
        judged: whether the file promises equal bits: it records exact numerics.
        refused: why the runtime does not take the file, empty where it does.
        comparison: of the outputs; None where the runtime does not take the file, or is not there.
        absent: that the runtime is not installed, and how to install it; empty where it is. `version` is empty then.
    """

    path: str
    runtime: str
    version: str
    against: str
    judged: bool
    refused: str
    comparison: Comparison | None
    absent: str = ""

    @property
    def failed(self) -> bool:
        """Whether a promise is broken."""
        return self.judged and self.comparison is not None and not self.comparison.passed


def open_further(path: Path, asked_for: Sequence[str] = ()) -> Iterator[FurtherRuntime]:
    """Opens a file on the further runtimes for its suffix.

    Args:
        path: of the file.
        asked_for: names of more runtimes, as far as they open such files. Those have to be there; the others may be absent.

    Raises:
        UsageError: there is no runtime of such a name.
        RuntimeMissingError: one that was asked for is not installed.
    """
    default, suffix = registry.for_file(path).name, path.suffix.lower()
    named = [name for name in asked_for if name != default and suffix in registry.get(name).suffixes]
    for name in dict.fromkeys((*registry.further(path), *named)):
        version = ""
        try:
            runtime = registry.get(name)
            version = runtime.version()
            yield FurtherRuntime(name, version, runtime.open(path))
        except RuntimeMissingError as error:
            if name in named:
                raise
            yield FurtherRuntime(name, "", None, absent=str(error))
        except ModelRefusedError as error:
            yield FurtherRuntime(name, version, None, str(error))


def compare_across_runtimes(
    path: str,
    against: str,
    judged: bool,
    runtimes: Sequence[FurtherRuntime],
    images: Array,
    outputs: list[Array],
    atol: float | None,
) -> Iterator[RuntimeRow]:
    """Runs a file on the further runtimes and compares with the outputs on its default one; see `RuntimeRow`."""
    for other in runtimes:
        comparison, refused = None, other.refused
        if other.session is not None:
            try:
                computed = run_in_batches(other.session, images)
            except ModelRefusedError as error:
                if judged:
                    raise
                refused = str(error)
            else:
                comparison = metrics.compare_outputs(outputs, computed, atol)
        yield RuntimeRow(
            path, other.runtime, other.version, against, judged, refused, comparison, other.absent
        )
