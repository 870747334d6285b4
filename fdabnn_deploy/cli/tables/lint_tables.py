"""The output of `fdabnn-lint`: the layers, and under them the findings by code."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fdabnn_deploy.frontend.lint.codes import CODES
from fdabnn_deploy.pipeline.lint_network import Finding, Linted, LintedLayer

VERSION = 1
_STYLES = {"refused": "red", "float": "yellow", "slow": "yellow", "note": "dim"}
_SHOWN = 8


def print_linted(console: Console, result: Linted) -> None:
    """Prints the table of layers, the findings, and a line of counts."""
    if result.layers:
        table = Table("layer", "weight", "becomes", "findings", box=None, pad_edge=False, header_style="bold")
        for layer in result.layers:
            table.add_row(layer.module, _weight(layer), _becomes(layer), " ".join(layer.codes))
        console.print(table)
        console.print()
    for code, code_findings in _by_code(result).items():
        console.print(
            Text.assemble((code, _STYLES[CODES[code].level]), f"  {CODES[code].meaning}"), soft_wrap=True
        )
        for finding in code_findings[:_SHOWN]:
            console.print(Text(f"      {_line(finding)}"), soft_wrap=True)
        if len(code_findings) > _SHOWN:
            console.print(Text(f"      and {len(code_findings) - _SHOWN} more"))
        for change in dict.fromkeys(finding.change for finding in code_findings):
            console.print(Text(f"      change: {change}"), soft_wrap=True)
    bits = sum(layer.binary_layers > 0 for layer in result.layers)
    # Layers, however many findings one has.
    counts = {
        level: len({finding.module or finding.text for finding in result.findings if finding.level == level})
        for level in _STYLES
    }
    told = ", ".join(f"{count} {level}" for level, count in counts.items() if count) or "nothing found"
    console.print(Text(f"{bits} of {len(result.layers)} layers 1-bit; {told}"))


def _by_code(result: Linted) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {code: [] for code in CODES}
    for finding in result.findings:
        found[finding.code].append(finding)
    return {code: findings for code, findings in found.items() if findings}


def _line(finding: Finding) -> str:
    allowed = " (allowed)" if finding.allowed else ""
    return (f"{finding.module}: {finding.text}" if finding.module else finding.text) + allowed


def _weight(layer: LintedLayer) -> str:
    return "x".join(map(str, layer.weight_shape))


def _becomes(layer: LintedLayer) -> str:
    if layer.binary_layers > 1:
        return f"{layer.binary_layers} 1-bit layers"
    return "1-bit" if layer.binary_layers else "float"


def as_json(result: Linted) -> str:
    """The findings and layers as JSON."""
    findings = [{**asdict(finding), "level": finding.level} for finding in result.findings]
    content = {
        "schema": "fdabnn-lint",
        "version": VERSION,
        "layers": [asdict(layer) for layer in result.layers],
        "findings": findings,
    }
    return json.dumps(content, indent=1) + "\n"
