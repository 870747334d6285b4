"""The notes of `fdabnn-export` on zeros at signs and among weights."""

from __future__ import annotations

from fdabnn_deploy.cli.console import format_number, format_share
from fdabnn_deploy.pipeline.report import Report

_SHOWN = 4
_COUNTS_AS = {"plus": "+1", "minus": "-1"}


def describe_zeros(report: Report) -> list[str]:
    """One sentence per kind of zeros."""
    lines = []
    zeros = report.sign_zeros
    if zeros.zeros:
        line = (
            f"{sum(zeros.zeros.values())} of {zeros.sign_values} values were exactly 0 at a sign "
            f"(on {zeros.images} inputs, in {_few(list(zeros.zeros))}); "
        )
        if zeros.changed:
            line += (
                f"{zeros.changed} of them stay 0 in the network as written and count as {_COUNTS_AS[zeros.sign_zero]} here: "
                f"top-1 agreement {format_share(zeros.top1_agreement)}, largest change of an output {format_number(zeros.max_abs)}"
            )
        else:
            line += "all of them count as in the network as written"
        lines.append(line)
    if zeros.structural:
        where = _few([f"{module}: {reason}" for module, reason in zeros.structural.items()], "; ")
        line = f"zeros are the rule at signs that are written so that a zero stays 0 ({where})"
        if zeros.sign_zero != "exact":
            line += ": --sign-zero exact keeps them 0, with two binary layers for one"
        lines.append(line)
    if report.weight_zeros:
        count = sum(report.weight_zeros.values())
        lines.append(
            f"{count} weights of two binary layers each are exactly 0, in {_few(list(report.weight_zeros))}"
        )
    return lines


def _few(names: list[str], between: str = ", ") -> str:
    more = len(names) - _SHOWN
    return between.join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
