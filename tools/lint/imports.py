"""Which room may import which: the contracts in pyproject.toml, checked by import-linter.

Tests stand beside what they test and import from anywhere, which import-linter has no pattern for. So it gets the sources as the wheel
has them: without tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCES = ("fdabnn_deploy", "converters/fdabnn_onnx", "converters/fdabnn_tflite", "models/fdabnn_models")


def is_test(file: Path) -> bool:
    """Whether a file is left out of the wheel."""
    return file.name.endswith(("_test.py", "_testing.py")) or file.name == "conftest.py"


def check_imports(root: Path) -> int:
    """Prints the broken contracts of the checkout at `root`; 0 if there are none."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for source in SOURCES:
            package = root / source
            for file in package.rglob("*.py"):
                if not is_test(file):
                    target = folder / package.name / file.relative_to(package)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, target)
        program = (
            "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
        )
        return subprocess.run(
            [sys.executable, "-c", program, str(root / "pyproject.toml"), "--no-cache"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            check=False,
        ).returncode
