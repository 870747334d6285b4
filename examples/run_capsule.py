"""Replays a golden capsule in LiteRT with the delegate: same inputs, same bits.

    python examples/run_capsule.py FILE.capsule

A capsule holds a model file, inputs, and the outputs that it has to give (docs/capsule.md).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate

from fdabnn_deploy import delegate_path
from fdabnn_deploy.verify.capsule import read_capsule


def main(path: Path) -> int:
    """Prints how many outputs differ; 0 if none does."""
    capsule = read_capsule(path)
    interpreter = Interpreter(
        model_content=capsule.model, experimental_delegates=[load_delegate(delegate_path())]
    )
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    (inputs,), (expected,) = capsule.inputs, capsule.outputs
    differing = 0
    for values, wanted in zip(inputs.values, expected.values, strict=True):
        interpreter.set_tensor(source["index"], values[np.newaxis])
        interpreter.invoke()
        differing += int(np.count_nonzero(interpreter.get_tensor(result["index"])[0] != wanted))
    print(f"{len(capsule)} inputs: {differing} of {expected.values.size} output values differ")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
