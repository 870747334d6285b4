"""The same export gives the same bytes, however many threads PyTorch has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = "import sys, torch; torch.set_num_threads(int(sys.argv[1])); from fdabnn_deploy.cli.export import main; sys.exit(main(sys.argv[2:]))"


def test_files_are_byte_identical_on_one_and_two_threads(checkpoint: Path, tmp_path: Path) -> None:
    written = []
    for threads in (1, 2):
        out = tmp_path / str(threads)
        arguments = [str(threads), str(checkpoint), "--out", str(out), "--samples", "random:16"]
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        subprocess.run(
            [sys.executable, "-c", CODE, *arguments], check=True, env=environment, capture_output=True
        )
        written.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert written[0] == written[1]
    assert sorted(written[0]) == ["random.onnx", "random.tflite"]
