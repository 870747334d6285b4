"""In the emulated process: one inference of exported files.

    python -m instruction_counts.models FILE...

prints a line of JSON per section: `file` and `run`. What is counted is what `fdabnn-export` times as latency: an image in the layout of
the file goes in, one thread computes, the output comes out; the few thousand instructions of Python around it are among them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from fdabnn_deploy.runtimes import registry
from instruction_counts.marked import section

RUNS = 3
"""Sections per file."""
_WARM_UP = 2


def main(arguments: list[str]) -> None:
    """Counts the files in their order."""
    for argument in arguments:
        path = Path(argument)
        session = registry.for_file(path).open(path, threads=1)
        rng = np.random.default_rng(0)
        images = [rng.normal(size=(1, *shape)).astype(np.float32) for shape in session.input_shapes]
        prepared = session.native_inputs(images)
        for _ in range(_WARM_UP):
            session.run_native(prepared)
        for run in range(RUNS):
            with section():
                session.run_native(prepared)
            print(json.dumps({"file": argument, "run": run}))


if __name__ == "__main__":
    main(sys.argv[1:])
