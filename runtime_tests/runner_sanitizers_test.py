"""fdabnn-runner built with AddressSanitizer and UndefinedBehaviorSanitizer of g++: its parts, and whole runs on damaged files."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import numpy as np
import onnxruntime
import pytest

from fdabnn_deploy.native import delegate_path
from fdabnn_deploy.system.programs_testing import wanted_compiler

pytestmark = pytest.mark.programs

NATIVE = Path(__file__).parents[1] / "fdabnn_deploy" / "native"
SCHEMA = NATIVE.parent / "schemas" / "runner.schema.json"
FLAGS = [
    "-std=c++17",
    "-O1",
    "-g1",
    "-pthread",
    "-I.",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
]
# A crash inside a runtime is for the runner to tell of; everything else is for the sanitizers.
OPTIONS = (
    "handle_segv=0:handle_abort=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:allocator_may_return_null=1"
)


class Built(NamedTuple):
    """The runner, and the driver that calls its parts."""

    runner: Path
    driver: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    # The compiler of the PyPI package ziglang brings no sanitizers.
    compiler = wanted_compiler("g++", FLAGS)
    folder = tmp_path_factory.mktemp("sanitized")
    sources = sorted((NATIVE / "runner").glob("*.cc"))
    driver = NATIVE / "tests" / "runner_driver.cc"

    def compiled(source: Path) -> str:
        made = folder / f"{source.stem}.o"
        subprocess.run([compiler, *FLAGS, "-c", str(source), "-o", str(made)], cwd=NATIVE, check=True)
        return str(made)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = dict(zip([*sources, driver], pool.map(compiled, [*sources, driver]), strict=True))
    main = objects.pop(NATIVE / "runner" / "main.cc")
    called = objects.pop(driver)
    built = Built(folder / "fdabnn-runner", folder / "driver")
    for program, extra in zip(built, (main, called), strict=True):
        subprocess.run([compiler, *FLAGS, *objects.values(), extra, "-ldl", "-o", str(program)], check=True)
    return built


def drive(built: Built, *arguments: object) -> str:
    done = subprocess.run(
        [str(built.driver), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def without_checksum(path: Path, folder: Path) -> Path:
    """A copy of a TFLite file that the runner takes for one of others, in which damage is not seen at once."""
    copy = folder / path.name
    copy.write_bytes(path.read_bytes().replace(b"fdabnn_sha256", b"fdabnn_sha25x"))
    return copy


def profile(model: Path, folder: Path) -> Path:
    """The profile that ONNX Runtime writes of two runs of a file."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(model, options)
    for _ in range(2):
        session.run(None, {session.get_inputs()[0].name: np.zeros((1, 3, 32, 32), np.float32)})
    return Path(session.end_profiling())


@pytest.mark.parametrize(
    ("kind", "rounds"), [("tflite", 4000), ("onnx", 1500), ("capsule", 400), ("profile", 200)]
)
def test_the_parsers(
    kind: str, rounds: int, built: Built, resnet20_capsules: dict[str, Any], tmp_path: Path
) -> None:
    """Sound files and damaged copies; those with a checksum get one that fits."""
    files = {
        "tflite": without_checksum(resnet20_capsules["tflite"].model, tmp_path),
        "onnx": resnet20_capsules["packed"].model,
        "capsule": resnet20_capsules["tflite"].capsule,
        "profile": profile(resnet20_capsules["onnx"].model, tmp_path),
    }
    sound, damaged = map(int, re.findall(r"\d+", drive(built, "parse", kind, rounds, files[kind])))
    assert sound + damaged == 1 + rounds
    assert sound > 0.02 * rounds
    assert damaged > 0.1 * rounds


def test_the_figures(built: Built) -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 10, 99, 100, 101):
        samples = rng.integers(0, 1_000_000, count)
        low, high = np.sort(samples)[[(count - 1) // 2, count // 2]]
        ranked = [np.percentile(samples, percent, method="inverted_cdf") for percent in (90, 99)]
        expected = [
            samples.min(),
            low + (high - low) // 2,
            *ranked,
            samples.max(),
            samples.sum() // count,
        ]
        assert [int(text) for text in drive(built, "figures", *samples).split()] == expected


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_a_raspberry_pi(built: Built, tmp_path: Path) -> None:
    """Files as its kernel shows them."""
    core = "processor\t: {}\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\n"
    cpus = "sys/devices/system/cpu"
    root = put(
        tmp_path,
        {
            "proc/cpuinfo": "".join(core.format(i) for i in range(2))
            + "Model\t\t: Raspberry Pi 4 Model B Rev 1.4",
            "proc/meminfo": "MemTotal:        3884356 kB\nMemFree: 1 kB",
            "proc/loadavg": "0.52 0.58 0.59 1/213 1234",
            "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"',
            **{f"{cpus}/cpu{i}/cpufreq/scaling_governor": "ondemand" for i in range(2)},
            f"{cpus}/cpu0/cpufreq/scaling_cur_freq": "1800000",
            f"{cpus}/cpufreq/policy0/x": "",
            f"{cpus}/cpuidle/x": "",
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
            "sys/class/thermal/thermal_zone0/temp": "54530",
            "sys/class/thermal/cooling_device0/type": "fan",
            "sys/devices/platform/soc/soc:firmware/get_throttled": "50005",
        },
    )
    found = json.loads(drive(built, "device", root))
    assert found["device"]["cpu"] == "Cortex-A72, Raspberry Pi 4 Model B Rev 1.4"
    assert found["device"]["features"] == ["fp", "asimd", "evtstrm", "crc32", "cpuid"]
    assert found["device"]["os"] == "Debian GNU/Linux 12 (bookworm)"
    assert (found["device"]["cores"], found["device"]["memory_bytes"]) == (2, 3884356 * 1024)
    assert found["state"]["before"] == {
        "governor": ["ondemand", "ondemand"], "frequency_khz": [1800000, None], "load1": 0.52,
        "temperature_millic": {"thermal_zone0 cpu-thermal": 54530}, "throttled": {"flags": "0x50005", "source": "raspberrypi"},
    }  # fmt: skip


def test_a_processor_of_several_kinds_of_core(built: Built, tmp_path: Path) -> None:
    parts = ["0xd05", "0xd05", "0xd0b", "0xd0b"]
    text = "".join(
        f"processor\t: {i}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n\n" for i, part in enumerate(parts)
    )
    found = json.loads(drive(built, "device", put(tmp_path, {"proc/cpuinfo": text})))
    assert (found["device"]["cpu"], found["device"]["cores"]) == ("Cortex-A55 + Cortex-A76", 4)


def test_an_x86_that_was_too_hot(built: Built, tmp_path: Path) -> None:
    cpus = "sys/devices/system/cpu"
    root = put(
        tmp_path, {f"{cpus}/cpu{i}/thermal_throttle/core_throttle_count": f"{9 * i}" for i in range(3)}
    )
    found = json.loads(drive(built, "device", root))
    assert found["state"]["after"]["throttled"] == {"flags": "0x1b", "source": "core_throttle_count"}


def test_a_device_that_shows_nothing(built: Built, tmp_path: Path) -> None:
    found = json.loads(drive(built, "device", tmp_path))
    schema = json.loads(SCHEMA.read_text())
    for name in ("device", "state"):
        jsonschema.validate(found[name], {**schema["properties"][name], "$defs": schema["$defs"]})
    assert found["device"]["cpu"] is None
    assert found["state"]["before"]["throttled"] == {"flags": None, "source": None}


@pytest.mark.parametrize("name", ["tflite", "onnx", "packed"])
def test_whole_runs(
    name: str,
    built: Built,
    resnet20_capsules: dict[str, Any],
    runtime_libraries: dict[str, Path],
    tmp_path: Path,
) -> None:
    """A sound capsule, then damaged models, on the real runtimes: they run or are refused in one line, and nothing else happens."""
    files = resnet20_capsules[name]
    suffix = files.model.suffix

    def run(*arguments: object) -> subprocess.CompletedProcess[bytes]:
        libraries = ["--runtime", runtime_libraries[suffix], "--delegate", delegate_path()]
        return subprocess.run(
            [str(built.runner), *map(str, (*arguments, *libraries))],
            env=os.environ | {"ASAN_OPTIONS": OPTIONS, "UBSAN_OPTIONS": "print_stacktrace=1"},
            capture_output=True,
            check=False,
            timeout=120,
        )

    done = run("--selftest", files.capsule, "--per-op", "--runs", 2, "--warmup", 1, "--ceiling")
    assert done.returncode == 0, done.stderr
    assert b"self-test passed" in done.stdout

    content = without_checksum(files.model, tmp_path).read_bytes()
    path = tmp_path / f"damaged{suffix}"
    rng = np.random.default_rng(0)
    codes: Counter[int] = Counter()
    for i in range(25):
        damaged = bytearray(content)
        # The tables of a TFLite file stand at its end, those of an ONNX file all over it.
        first = 0 if suffix == ".onnx" or i % 3 == 0 else max(0, len(content) - 20_000)
        for place in rng.integers(first, len(content), 1 + i % 3).tolist():
            damaged[place] = int(rng.choice([damaged[place] ^ 1 << place % 8, 0, 0x7F, 0x80, 0xFF]))
        path.write_bytes(damaged if i % 5 else damaged[: rng.integers(0, len(content))])
        done = run(path, "--per-op", "--runs", 1, "--warmup", 0, "--json", tmp_path / "report.json")
        codes[done.returncode] += 1
        if done.returncode != 0:
            assert done.returncode == 3, done.stderr
            assert done.stderr.startswith(b"fdabnn-runner: ")
            assert done.stderr.count(b"\n") == 1
    assert codes[3] > 3
