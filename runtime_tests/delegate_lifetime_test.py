"""The delegate as users load it: the README's lines, its options, damaged operators, threads, and thousands of interpreters."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, load_delegate

import fdabnn_deploy
from fdabnn_deploy import delegate_path
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import BinaryConv2d, FloatArray, GlobalAvgPool, Input, MaxPool2d, Sign
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_tflite.runtime.lce import LceRuntime
from fdabnn_tflite.runtime.litert import LiteRtRuntime
from fdabnn_tflite.runtime.tensorflow_lite import TfliteRuntime
from fdabnn_tflite.runtime.tflite_file import DIGEST_KEY

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with three of the four operators, whose batch is free."""
    rng = np.random.default_rng(0)
    first, second = (rng.choice(np.array([-1, 1], np.int8), (40, c, 3, 3)) for c in (3, 40))
    nodes = [
        Node("input", Input((3, 12, 12))),
        Node("pool", MaxPool2d((2, 2), (2, 2)), ("input",)),
        Node("sign1", Sign(), ("pool",)),
        Node("conv1", BinaryConv2d(first, padding=(1, 1)), ("sign1",)),
        Node("sign2", Sign(), ("conv1",)),
        Node("conv2", BinaryConv2d(second), ("sign2",)),
        Node("output", GlobalAvgPool(), ("conv2",)),
    ]
    file = tmp_path_factory.mktemp("delegate") / "small.tflite"
    info = ModelInfo("small", (3, 12, 12))
    find_converter("tflite").convert(Graph(nodes, ["output"]), info, file, ConvertOptions(batch=None))
    return file


def images(count: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((count, 12, 12, 3)).astype(np.float32)


def interpreter(path: Path, options: dict[str, Any] | None = None, threads: int = 1) -> Any:
    return Interpreter(
        str(path), experimental_delegates=[load_delegate(delegate_path(), options)], num_threads=threads
    )


def run(loaded: Any, inputs: FloatArray) -> FloatArray:
    (source,), (result,) = loaded.get_input_details(), loaded.get_output_details()
    loaded.resize_tensor_input(source["index"], inputs.shape)
    loaded.allocate_tensors()
    loaded.set_tensor(source["index"], inputs)
    loaded.invoke()
    outputs: FloatArray = loaded.get_tensor(result["index"])
    return outputs


def expected(path: Path, inputs: FloatArray) -> FloatArray:
    return LceRuntime().open(path).run([np.ascontiguousarray(inputs.transpose(0, 3, 1, 2))])[0]


def test_the_readme_runs_as_it_is_written(path: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (program,) = (block for block in blocks if "load_delegate(delegate_path())" in block)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "model.tflite").write_bytes(path.read_bytes())
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    zeros = expected(path, np.zeros((1, 12, 12, 3), np.float32))
    assert done.stdout.strip() == str(zeros)


def test_batches_are_resized(path: Path) -> None:
    loaded = interpreter(path)
    for count in (1, 4, 2, 33, 1):
        inputs = images(count, count)
        assert np.array_equal(run(loaded, inputs), expected(path, inputs))


def test_without_the_delegate_the_runtime_refuses(path: Path) -> None:
    with pytest.raises(RuntimeError, match="LceQuantize"):
        Interpreter(str(path)).allocate_tensors()


@pytest.mark.parametrize("level", ["scalar", "popcnt", "avx2", "avx512", "neon", "neon_lookup"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_level_and_number_of_threads(path: Path, level: str, threads: int) -> None:
    try:
        loaded = interpreter(path, {"kernels": level, "threads": threads})
    except ValueError as error:
        assert "on this processor" in str(error)  # noqa: PT017
        pytest.skip(f"this processor has no {level}")
    inputs = images(5)
    assert np.array_equal(run(loaded, inputs), expected(path, inputs))


def threads_of_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_it_starts_the_threads_that_are_asked_for(path: Path) -> None:
    inputs = images(1)
    for options, threads, own in ((None, 1, 0), (None, 4, 3), ({"threads": 3}, 1, 2), ({"threads": 1}, 4, 0)):
        before = threads_of_process()
        # XNNPACK starts threads of its own.
        plain = Interpreter(
            str(path),
            experimental_delegates=[load_delegate(delegate_path(), options)],
            num_threads=threads,
            experimental_op_resolver_type=LiteRtRuntime()
            .package()
            .resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        run(plain, inputs)
        assert threads_of_process() - before == own
        del plain
        gc.collect()
        assert threads_of_process() == before


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"thread": 1}, "unknown option 'thread': known are threads, kernels, fuse and engine"),
        ({"threads": 0}, "from 1 to 1024, not '0'"),
        ({"threads": "2x"}, "from 1 to 1024, not '2x'"),
        ({"fuse": "no"}, "fuse has to be 0 or 1, not 'no'"),
        ({"kernels": "sse"}, r"one of scalar.* on this processor, not 'sse'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], reason: str) -> None:
    for package in (LiteRtRuntime().package(), TfliteRuntime().package()):
        with pytest.raises(ValueError, match=reason):
            package.load_delegate(delegate_path(), options)


def test_a_wrong_level_in_the_environment_is_named(path: Path) -> None:
    program = "import sys; sys.path.insert(0, ''); from ai_edge_litert.interpreter import load_delegate; import fdabnn_deploy;"
    program += "load_delegate(fdabnn_deploy.delegate_path())"
    environment = {**os.environ, "FDABNN_KERNELS": "mmx"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "FDABNN_KERNELS=mmx" in done.stderr


def test_eight_interpreters_in_threads(path: Path) -> None:
    """With a delegate each, and all with one."""
    shared = load_delegate(delegate_path(), {"threads": 2})
    wrong: list[int] = []
    inputs = [images(3, seed) for seed in range(8)]
    wanted = [expected(path, value) for value in inputs]

    def work(i: int) -> None:
        for round_ in range(12):
            delegate = shared if round_ % 2 else load_delegate(delegate_path())
            loaded = Interpreter(str(path), experimental_delegates=[delegate], num_threads=1 + i % 2)
            computed = [run(loaded, inputs[i]) for _ in range(5)]
            wrong.extend(i for value in computed if not np.array_equal(value, wanted[i]))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def allocated_kilobytes() -> int:
    """Memory of the process's own: of files, such as libraries, the system drops pages and reads them again as it likes."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+)", status)
    assert found is not None
    return int(found[1])


def cycle(path: Path, count: int) -> None:
    inputs = images(1)
    wanted = expected(path, inputs)
    for i in range(count):
        assert np.array_equal(run(interpreter(path, threads=1 + i % 2), inputs), wanted)


def check_memory(path: Path, count: int) -> None:
    cycle(path, count // 5)
    gc.collect()
    before = allocated_kilobytes()
    cycle(path, count)
    gc.collect()
    grown = allocated_kilobytes() - before
    # 0.2 kB a cycle, where the packed weights of one interpreter alone are 2 kB and more; and some for the allocator.
    assert grown < 2000 + count // 5, f"{grown} kB after {count} interpreters"


def test_500_interpreters_leave_nothing_behind(path: Path) -> None:
    check_memory(path, 500)


@pytest.mark.long
def test_10000_interpreters_leave_nothing_behind(path: Path) -> None:
    check_memory(path, 10000)


OPTIONS = {
    "LceBconv2d": (
        *("channels_in", "dilation_height_factor", "dilation_width_factor", "fused_activation_function"),
        *("pad_values", "padding", "stride_height", "stride_width"),
    ),
    "LceBMaxPool2d": ("filter_height", "filter_width", "padding", "stride_height", "stride_width"),
}

DAMAGES = """
import sys
from pathlib import Path
import numpy as np
from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_tflite.runtime.litert import LiteRtRuntime

whole, work = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
places = [int(place) for place in sys.argv[3].split(",")]
refused, ran = [], 0
for seed in range(int(sys.argv[4])):
    rng = np.random.default_rng(seed)
    data = bytearray(whole)
    for place in rng.choice(places, int(rng.integers(1, 4))):
        data[place] = rng.integers(256) if seed % 2 else data[place] ^ 1 << int(rng.integers(8))
    work.write_bytes(data)
    print(f"seed {seed}", flush=True)
    try:
        session = LiteRtRuntime().open(work)
        session.run_all([np.zeros((1, *shape), np.float32) for shape in session.input_shapes])
        ran += 1
    except ModelRefusedError as error:
        refused.append(str(error))
print(ran)
print("\\n".join(refused))
"""


def option_bytes(data: bytes) -> list[int]:
    """Where the FlexBuffers of the operators' options lie: from the first key on to the end of the map."""
    places: list[int] = []
    for names in OPTIONS.values():
        start = data.find(names[0].encode() + b"\0")
        while start >= 0:
            stop = start + sum(len(name) + 1 for name in names) + 60
            places += range(start, stop)
            start = data.find(names[0].encode() + b"\0", stop)
    return places


def test_damaged_options_are_refused_and_end_no_process(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes().replace(DIGEST_KEY.encode(), b"x" * len(DIGEST_KEY))
    whole = tmp_path / "whole.tflite"
    whole.write_bytes(data)
    places = ",".join(map(str, option_bytes(data)))
    assert places
    done = subprocess.run(
        [sys.executable, "-c", DAMAGES, str(whole), str(tmp_path / "damaged.tflite"), places, "400"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout[-30:], done.stderr[-2000:])
    lines = [line for line in done.stdout.splitlines() if not line.startswith("seed")]
    ran, refused = int(lines[0]), lines[1:]
    assert ran + len(refused) == 400
    assert len(refused) > 100
    told = "\n".join(refused)
    for reason in ("LceBconv2d: the option", "LceBMaxPool2d: the option", "out of range", "missing"):
        assert reason in told, told[:2000]


def test_the_package_shows_the_path() -> None:
    assert fdabnn_deploy.delegate_path() == delegate_path()
