"""Serves sessions of this process's runtimes to another process: what `qemu_aarch64` starts in the arm64 root.

    python -m fdabnn_deploy.runtimes.emulator.qemu_server

Requests come as lines of JSON on standard input, each is answered by a line on standard output, and arrays travel as .npz files whose
paths the requests name. An .npz holds `arr_0`, `arr_1`, ... in the order of the interface.

| request `do` | with                           | answer                                                             |
|--------------|--------------------------------|--------------------------------------------------------------------|
| `open`       | `path`, `threads`              | `session`: its number, `shapes`: of its inputs                     |
| `settings`   | `path`                         | `iterator`: the number of an iterator over the runtime's settings  |
| `next`       | `iterator`                     | `session`, `shapes`, `setting`; `session` is null at the end       |
| `run`        | `session`, `inputs`, `outputs` | nothing more: the outputs are in the file                          |
| `run_all`    | `session`, `inputs`, `outputs` | `names`: of the tensors in the file                                |
| `close`      | `session`                      | nothing more                                                       |

An answer with `error` and `text` stands for an exception: its class in `fdabnn_deploy.errors`, else empty with a traceback as text.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fdabnn_deploy.errors import FdabnnError, ModelRefusedError
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.base import Session


class Server:
    """Answers requests, one after another."""

    def __init__(self) -> None:
        self._sessions: dict[int, Session] = {}
        self._iterators: dict[int, Iterator[tuple[str, Session]]] = {}
        self._count = 0

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request; see the module."""
        try:
            answer: dict[str, Any] = getattr(self, f"_{request['do']}")(request)
        except FdabnnError as error:
            return {"error": type(error).__name__, "text": str(error)}
        except Exception:  # noqa: BLE001 - the other process raises it
            return {"error": "", "text": traceback.format_exc()}
        return answer

    def _open(self, request: dict[str, Any]) -> dict[str, Any]:
        path = Path(request["path"])
        return self._keep(registry.for_file(path).open(path, request["threads"]))

    def _settings(self, request: dict[str, Any]) -> dict[str, Any]:
        path = Path(request["path"])
        self._count += 1
        self._iterators[self._count] = iter(registry.for_file(path).settings(path))
        return {"iterator": self._count}

    def _next(self, request: dict[str, Any]) -> dict[str, Any]:
        found = next(self._iterators[request["iterator"]], None)
        if found is None:
            del self._iterators[request["iterator"]]
            return {"session": None}
        return {"setting": found[0], **self._keep(found[1])}

    def _keep(self, session: Session) -> dict[str, Any]:
        self._count += 1
        self._sessions[self._count] = session
        tensors = session.file_tensors()
        places = [
            [(each.name, each.channels_last) for each in some] for some in (tensors.inputs, tensors.outputs)
        ]
        return {"session": self._count, "shapes": session.input_shapes, "tensors": places}

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        outputs = self._sessions[request["session"]].run(read_arrays(request["inputs"]))
        if any(values.dtype == object for values in outputs):
            raise ModelRefusedError(
                "an output is a sequence, or of another shape for every input, which does not travel out of the emulator: "
                "compare it on this machine's runtimes"
            )
        write_arrays(request["outputs"], outputs)
        return {}

    def _run_all(self, request: dict[str, Any]) -> dict[str, Any]:
        tensors = self._sessions[request["session"]].run_all(read_arrays(request["inputs"]))
        write_arrays(request["outputs"], list(tensors.values()))
        return {"names": list(tensors)}

    def _close(self, request: dict[str, Any]) -> dict[str, Any]:
        del self._sessions[request["session"]]
        return {}


def write_arrays(path: str, arrays: list[FloatArray]) -> None:
    """Writes arrays in their order."""
    np.savez(path, *arrays)


def read_arrays(path: str) -> list[FloatArray]:
    """The arrays of a file that `write_arrays` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return [file[f"arr_{i}"] for i in range(len(file.files))]


def main() -> None:
    """Answers until standard input ends."""
    # Libraries greet on standard output; the answers go where it was.
    with os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(2, 1)
        server = Server()
        for line in sys.stdin:
            print(json.dumps(server.answer(json.loads(line))), file=answers)


if __name__ == "__main__":
    main()
