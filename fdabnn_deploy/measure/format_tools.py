"""The tools of a target for measuring files of its format (`fdabnn_deploy.targets.target.Target.measuring`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.measure.baselines.baseline import BaselineLayer
from fdabnn_deploy.measure.baselines.int8 import Found
from fdabnn_deploy.measure.profiles.operators import Operator
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import for_suffix, registered


@dataclass(frozen=True)
class FormatTools:
    """Functions on files of one format; what they raise stands with them.

    Attributes:
        operators: (path) the operators in the file's order.
        float_baseline: (content) the bytes of the float baseline, and its layers in the model's order.
        quantised_baseline: (content and layers of the float baseline, images float32 [N, C, H, W] or None for made-up ones) the bytes of
            the quantised baseline, its layers, and a note.
        write: (graph, model, options) the bytes of a file as the target's own writer makes it, without the checks of a whole export: for
            files of single layers.
        constant_bytes: (content) the bytes of all constants of the file.
        cut: (content, indices of operators) a file of these operators alone, or None where what they read and write is not float32. None
            where layers of such files can be timed without being cut out.
    """

    operators: Callable[[Path], tuple[Operator, ...]]
    float_baseline: Callable[[bytes], tuple[bytes, list[BaselineLayer]]]
    quantised_baseline: Callable[[bytes, list[BaselineLayer], FloatArray | None], Found]
    write: Callable[[Graph, ModelInfo, ConvertOptions], bytes]
    constant_bytes: Callable[[bytes], int]
    cut: Callable[[bytes, Sequence[int]], bytes | None] | None = None


def suffixes() -> list[str]:
    """How files end that can be measured."""
    return [target.suffix for target in registered() if target.measuring is not None]


def tools_for(path: Path) -> FormatTools:
    """The tools for files with this path's suffix.

    Raises:
        UsageError: no target has any.
        RuntimeMissingError: a package that they need is not installed.
    """
    target = for_suffix(path)
    if target is None or target.measuring is None:
        raise UsageError(f"{path} cannot be measured: give a file that ends in {' or '.join(suffixes())}")
    found: FormatTools = target.load(target.measuring)
    return found
