"""The tool on small folders of cases, and the project's own cases."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cases import command, expected, running
from cases.command import EXPECTED, HELPERS, OWN
from fdabnn_deploy.errors import UsageError

REPORTS = Path(command.__file__).with_name("reports.toml")

CASES = {
    "good": "print('all is well')",
    "bad": "import sys\nprint('it broke')\nsys.exit(3)",
    "report": (
        "from types import SimpleNamespace as N\n"
        "def run():\n"
        "    layer = N(one_bit=True, expected=True)\n"
        "    return N(truth=N(agreement=N(same=9, images=10)), coverage=[layer, N(one_bit=False, expected=True)], notes=['a note'])"
    ),
    "refuses": "from fdabnn_deploy.errors import ModelRefusedError\ndef run():\n    raise ModelRefusedError('conv: no')",
    "bug": "def run():\n    raise KeyError('x')",
    "dies": "import os\ndef run():\n    os._exit(7)",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in CASES.items():
        (tmp_path / f"{name}.py").write_text(f"{text}\n")
    return tmp_path


def wrong(folder: Path, name: str, table: str) -> str:
    (folder / EXPECTED).write_text(f"[{name}]\n{table}\n")
    return running.run(name, folder / f"{name}.py", expected.read(folder / EXPECTED)[name]).wrong


@pytest.mark.parametrize(
    ("name", "table", "said"),
    [
        ("good", 'outcome = "passes"\nsays = ["is well"]\nsays_not = ["broke"]', ""),
        ("good", 'outcome = "passes"\nsays = ["is bad"]', "it does not say 'is bad'"),
        ("good", 'outcome = "passes"\nsays_not = ["well"]', "it says 'well'"),
        ("bad", 'outcome = "passes"', "exit 3 and not 0"),
        ("bad", 'outcome = "passes"\nexit = 3', ""),
        ("bad", 'outcome = "refused"\ncommands = ["python {case}"]\nsays = ["broke"]', ""),
        (
            "good",
            'outcome = "passes"\ncommands = ["python {folder}/bad.py", "python {case}"]',
            "exit 3 and not 0",
        ),
        ("good", 'outcome = "passes"\ncommands = ["fdabnn-parity --version"]\nsays = ["fdabnn-parity"]', ""),
        ("report", 'outcome = "exported"\none_bit = "1 of 2"\nkept = 0.9\nsays = ["a note"]', ""),
        ("report", 'outcome = "exported"\none_bit = "2 of 2"\nkept = 0.9', "1 of 2 layers are 1-bit"),
        ("report", 'outcome = "exported"', "90.0% of the decisions are kept"),
        ("report", 'outcome = "refused"', "it was exported"),
        ("refuses", 'outcome = "refused"\nsays = ["^ModelRefusedError: conv"]', ""),
        ("refuses", 'outcome = "refused"\nexit = 2', "exit 3 and not 2"),
        ("refuses", 'outcome = "exported"', "it was not exported"),
        ("bug", 'outcome = "refused"', "exit 1 and not 3"),
        ("dies", 'outcome = "refused"', "it died"),
        ("bug", 'outcome = "refused"\nneeds = "no_such_module"', ""),
    ],
)
def test_what_is_expected_is_compared(folder: Path, name: str, table: str, said: str) -> None:
    assert wrong(folder, name, table) == said


def test_a_case_that_does_not_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "good.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(running, "SECONDS", 0.5)
    assert wrong(folder, "good", 'outcome = "passes"') == "it does not end"


def test_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / EXPECTED).write_text('[good]\noutcome = "passes"\n[gone]\noutcome = "passes"\n')
    assert command.run([str(folder), "--only", "good"]) == 0
    assert "| good | passes, exit 0 | exit 0: all is well | ok |" in capsys.readouterr().out
    assert command.run([str(folder), "--only", "go"]) == 4
    found = capsys.readouterr()
    assert "**it is missing**" in found.out
    assert "1 of 2 cases are not as expected: gone" in found.err
    assert command.run([str(folder), "--only", "bad"]) == 4
    assert "**no expectation**" in capsys.readouterr().out
    assert command.run([str(folder / "none")]) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a", "is no TOML file"),
        ("a = 1", "give a table"),
        ('[a]\noutcome = "works"', "outcome has to be one of"),
        ('[a]\noutcome = "passes"\nsay = ["x"]', "unknown key say"),
        ('[a]\noutcome = "passes"\nexit = "3"', "of the wrong type"),
        ('[a]\noutcome = "passes"\nsays = "x"', "of the wrong type"),
        ('[a]\noutcome = "passes"\nsays = ["("]', "is no regular expression"),
    ],
)
def test_expectations_that_are_not_understood(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / EXPECTED).write_text(text)
    with pytest.raises(UsageError, match=said):
        expected.read(tmp_path / EXPECTED)


def test_every_case_of_the_project_is_expected() -> None:
    names = {path.stem for path in OWN.glob("*.py")} - HELPERS
    assert set(expected.read(OWN / EXPECTED)) == names
    assert len(names) >= 15
    assert len(expected.read(REPORTS)) >= 49
    assert all(table["outcome"] for table in tomllib.loads(REPORTS.read_text()).values())


@pytest.mark.long
def test_the_cases_of_the_project() -> None:
    done = subprocess.run(
        [sys.executable, str(OWN.parent)], capture_output=True, text=True, check=False, timeout=3000
    )
    print(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
