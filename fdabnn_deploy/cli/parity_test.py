from __future__ import annotations

import re

import pytest

from fdabnn_deploy.cli.parity import main
from fdabnn_deploy.runtimes import registry


def test_help_names_every_runtime(capsys: pytest.CaptureFixture[str]) -> None:
    # It does not ask the registry, which loads much more than help needs.
    assert main(["--help"]) == 0
    # Lines may break behind a hyphen.
    words = set(re.findall(r"[\w-]+", re.sub(r"-\n +", "-", capsys.readouterr().out)))
    assert set(registry.names()) <= words
