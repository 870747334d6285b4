"""fdabnn-profile end to end: real devices (this machine, sshd on loopback), the real runner, real runtimes."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import fdabnn_deploy
from arm_root import library
from fdabnn_deploy.cli import profile as cli
from fdabnn_deploy.errors import ParityError, RuntimeMissingError, UsageError
from fdabnn_deploy.exact.record import Numerics
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Affine, BinaryConv2d, GlobalAvgPool, Input, Sign
from fdabnn_deploy.measure.devices import adb
from fdabnn_deploy.measure.devices.adb_server_testing import run_server
from fdabnn_deploy.measure.devices.sshd_testing import Sshd, run_sshd
from fdabnn_deploy.measure.profiles import golden_capsule
from fdabnn_deploy.measure.profiles.result import SCHEMA_FILE
from fdabnn_deploy.system.programs import ADB, SSH
from fdabnn_deploy.system.programs_testing import wanted
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_deploy.verify import capsule as capsules

pytestmark = pytest.mark.programs

RUNS = 20


def write_model(path: Path, kernel: int = 3) -> Path:
    """Three binary layers, `a`, `b` and `c`; the kernel is that of `b`."""
    rng = np.random.default_rng(0)
    nodes = [Node("input", Input((3, 24, 24)))]
    source, channels = "input", 3
    for name, size in (("a", 3), ("b", kernel), ("c", 3)):
        weight = rng.choice(np.array([-1, 1], np.int8), (64, channels, size, size))
        scale = np.where(np.arange(64) % 3, 1.0, -1.0)
        nodes += [
            Node(f"{name}/sign", Sign(), (source,)),
            Node(f"{name}/conv", BinaryConv2d(weight, padding=(size // 2, size // 2)), (f"{name}/sign",)),
            Node(f"{name}/limit", Affine(scale, np.arange(64) % 5 - 2.5), (f"{name}/conv",)),
        ]
        source, channels = f"{name}/limit", 64
    nodes.append(Node("output", GlobalAvgPool(), (source,)))
    info = ModelInfo("three", (3, 24, 24), numerics=Numerics(mode="exact").to_text())
    find_converter(path.suffix[1:]).convert(Graph(nodes, ["output"]), info, path, ConvertOptions())
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "three.tflite")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with run_sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def ssh_options(server: Sshd) -> list[object]:
    options = server.options
    return [
        *("--ssh-identity", options.identity),
        *("--ssh-known-hosts", options.known_hosts, "--ssh-config", options.config),
    ]


def test_this_machine_and_ssh_side_by_side(
    model: Path, server: Sshd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = ["--json", tmp_path / "p.json", "--html", tmp_path / "p.html"]
    devices = ["--device", "local", "--device", server.address, *ssh_options(server)]
    assert run(model, "--runs", RUNS, "--threads", "1,2", *devices, *paths) == 0
    out = capsys.readouterr().out
    content = json.loads((tmp_path / "p.json").read_text())
    jsonschema.validate(content, json.loads(SCHEMA_FILE.read_text()))
    assert [device["address"] for device in content["devices"]] == ["local", server.address]
    for device in content["devices"]:
        assert device["selftest"] == {
            "inputs": golden_capsule.INPUTS,
            "passed": True,
            "judged": True,
            "packed": 3,
            "difference": None,
        }
        assert [entry["threads"] for entry in device["measurements"]] == [1, 2]
        for entry in device["measurements"]:
            timing = entry["model"]
            assert len(timing["samples"]) == RUNS
            assert (timing["statistics"] is None) == (timing["verdict"] != "quiet")
            macs = {layer["name"]: layer["binary_macs"] for layer in timing["layers"] if layer["binary_macs"]}
            assert macs == {"a": 24 * 24 * 64 * 27, "b": 24 * 24 * 64 * 576, "c": 24 * 24 * 64 * 576}
            assert sum(layer["share"] for layer in timing["layers"]) == pytest.approx(1)
            assert all(
                0 < layer["of_ceiling"] < 3 for layer in timing["layers"] if layer["of_ceiling"] is not None
            )
            assert entry["ceiling"] > 1e8
    first = content["devices"][0]
    assert f"{first['facts']['cpu']}, {os.cpu_count()} cores" in out
    for words in ("governor", "frequency", "temperature", "throttling", "64-bit", "not pinned", "LiteRT"):
        assert words in out
    assert content["model"]["sha256"][:12] in out


def test_over_adb(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the real client, from a server of the tests' own whose device is this machine."""
    client = wanted(ADB)
    said = subprocess.run([client, "version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"version 1\.0\.(\d+)", said)
    assert version is not None
    monkeypatch.setattr(adb, "_FOLDER", str(tmp_path / "phone"))
    with run_server(int(version[1]), {"0123AB": "device"}) as running:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(running.port))
        profile = fdabnn_deploy.profile(model, ["adb:0123AB"], runs=RUNS)
    (device,) = profile.devices
    assert device.failure is None
    assert device.selftest is not None
    assert (device.selftest.passed, device.selftest.packed) == (True, 3)
    (measured,) = device.measurements
    assert len(measured.model.samples) == RUNS
    # Files stay there by their hash, and nothing of the run.
    kept = {path.name for path in (tmp_path / "phone").rglob("*") if path.is_file()}
    assert {"fdabnn-runner", "libfdabnn_delegate.so", "libLiteRt.so", model.name} <= kept
    assert not any(name.endswith(".json") for name in kept)


def test_noisy_runs_print_no_figures(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = fdabnn_deploy.profile(model, runs=RUNS)
    timing = profile.devices[0].measurements[0].model
    loud = dataclasses.replace(
        timing, verdict="noisy", reasons=("x",), statistics=None, layers_verdict="noisy"
    )
    measured = dataclasses.replace(profile.devices[0].measurements[0], model=loud)
    device = dataclasses.replace(profile.devices[0], measurements=(measured,))
    from fdabnn_deploy.cli.console import make_console
    from fdabnn_deploy.cli.tables.profile_tables import print_profile
    from fdabnn_deploy.measure.profile_report.html import render

    noisy = dataclasses.replace(profile, devices=(device,))
    print_profile(make_console(), noisy)
    out = capsys.readouterr().out
    assert "noisy" in out
    for text in (out, render(noisy)):
        assert "shares only" in text
        assert " µs</b>" not in text
        assert " ms</b>" not in text
    assert render(noisy).count("<circle") == RUNS
    for drawn in ('class="median"', 'class="band"'):
        assert drawn not in render(noisy)
    rows = [line for line in out.splitlines() if line.startswith("  local")]
    assert len(rows) == 1
    assert "µs" not in rows[0]
    assert "ms" not in rows[0]


def test_a_planted_wrong_byte_fails_the_selftest(
    model: Path, tmp_path: Path, server: Sshd, capsys: pytest.CaptureFixture[str]
) -> None:
    good = capsules.read_capsule(golden_capsule.make(model, tmp_path / "good.capsule"))
    values = good.outputs[0].values.copy()
    values.view(np.uint8).reshape(-1)[5] ^= 1
    wrong = dataclasses.replace(good, outputs=(dataclasses.replace(good.outputs[0], values=values),))
    capsules.write_capsule(tmp_path / "wrong.capsule", wrong)
    for device in ("local", server.address):
        arguments = [model, "--capsule", tmp_path / "wrong.capsule", "--device", device, *ssh_options(server)]
        assert run(*arguments, "--json", tmp_path / "none.json") == ParityError.exit_code
        found = capsys.readouterr()
        assert found.out == ""
        assert "the self-test failed, nothing was measured: input 0, tensor" in found.err
        assert "index [1]" in found.err
        assert not (tmp_path / "none.json").exists()


def test_a_capsule_of_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other.tflite", kernel=1)
    golden_capsule.make(other, tmp_path / "other.capsule")
    with pytest.raises(UsageError, match="is the capsule of another model"):
        fdabnn_deploy.profile(model, capsule=tmp_path / "other.capsule")


def test_damaged_models_are_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = model.read_bytes()
    (tmp_path / "cut.tflite").write_bytes(content[: len(content) // 2])
    (tmp_path / "empty.onnx").write_bytes(b"\x08")
    for name in ("cut.tflite", "empty.onnx"):
        assert run(tmp_path / name) == 3
    assert run(tmp_path / "none.tflite") == 2
    assert run(tmp_path) == 2
    for line in capsys.readouterr().err.splitlines():
        assert line.startswith("fdabnn-profile: ")
        assert "bug" not in line


def test_one_device_fails_and_the_others_are_measured(
    model: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wanted(SSH)
    arguments = ["--device", "local", "--device", "ssh://me@127.0.0.1:1", "--runs", RUNS]
    assert run(model, *arguments, "--json", tmp_path / "p.json") == RuntimeMissingError.exit_code
    found = capsys.readouterr()
    assert "is sshd running on port 1?" in found.err
    devices = json.loads((tmp_path / "p.json").read_text())["devices"]
    assert devices[0]["failure"] is None
    assert devices[1]["failure"]["exit_code"] == 6
    assert "Device local" in found.out


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_file_that_cannot_be_written_is_found_before_anything_is_measured(
    option: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A device that cannot be reached is not asked."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "report"
    assert run(model, "--device", "ssh://me@127.0.0.1:1", option, path) == UsageError.exit_code
    assert f"cannot write {path}" in capsys.readouterr().err


def test_a_crash_on_one_device_leaves_the_others_results(
    model: Path,
    server: Sshd,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The runner is ended by a signal, but only behind ssh."""
    real = fdabnn_deploy.native.runner_path()
    crashing = tmp_path / "fdabnn-runner"
    crashing.write_text(f'#!/bin/sh\n[ -z "$SSH_CONNECTION" ] || kill -SEGV $$\nexec {real} "$@"\n')
    crashing.chmod(0o755)
    monkeypatch.setattr(fdabnn_deploy.native, "runner_path", lambda _=None: str(crashing))
    devices = ["--device", "local", "--device", server.address, *ssh_options(server)]
    assert run(model, *devices, "--runs", RUNS, "--json", tmp_path / "p.json") == 1
    found = capsys.readouterr()
    assert f"fdabnn-runner on {server.address} ended with status 139" in found.err
    assert len(found.err.splitlines()) == 1
    here, there = json.loads((tmp_path / "p.json").read_text())["devices"]
    assert len(here["measurements"][0]["model"]["samples"]) == RUNS
    assert there["failure"]["exit_code"] == 1
    assert "Device local" in found.out


def test_a_device_that_says_another_processor(model: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The runner for that processor is pushed, and does not start."""
    if os.uname().machine != "x86_64":
        pytest.skip("the other processor whose runner is built is aarch64")
    library.build()
    folder, other = tmp_path_factory.mktemp("foreign"), "aarch64"
    (folder / "uname").write_text(f"#!/bin/sh\necho {other}\n")
    (folder / "uname").chmod(0o755)
    with (
        run_sshd(folder, environment={"PATH": f"{folder}:/usr/bin:/bin"}) as server,
        pytest.raises(RuntimeMissingError, match="cannot start fdabnn-runner"),
    ):
        fdabnn_deploy.profile(model, [server.address], ssh=server.options, runs=RUNS)


@pytest.mark.parametrize("device", ["local", "ssh"])
def test_ctrl_c_ends_what_runs_on_the_device(device: str, model: Path, server: Sshd) -> None:
    address = server.address if device == "ssh" else device
    command = [sys.executable, "-m", "fdabnn_deploy.cli.profile", str(model), "--device", address]
    command += [*map(str, ssh_options(server)), "--runs", "1000000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    place = str(server.cache) if device == "ssh" else fdabnn_deploy.native.runner_path()

    def is_measuring() -> bool:
        # By its number of runs: other tests may measure on this machine at the same time.
        return any("1000000" in arguments for arguments in runners(place))

    try:
        wait_for(is_measuring)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert said.splitlines() == ["fdabnn-profile: stopped"]
    wait_for(lambda: not is_measuring())


def test_clean_leaves_nothing(model: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with run_sshd(tmp_path_factory.mktemp("clean")) as server:
        fdabnn_deploy.profile(model, [server.address], ssh=server.options, runs=RUNS)
        assert list((server.cache / "fdabnn-profile").iterdir())
        fdabnn_deploy.profile(model, [server.address], ssh=server.options, runs=RUNS, clean=True)
        assert not (server.cache / "fdabnn-profile").exists()
        wrong = dataclasses.replace(
            capsules.read_capsule(golden_capsule.make(model, model.parent / "a.capsule")), exact=True
        )
        output = dataclasses.replace(wrong.outputs[0], values=wrong.outputs[0].values + 1)
        capsules.write_capsule(model.parent / "b.capsule", dataclasses.replace(wrong, outputs=(output,)))
        with pytest.raises(ParityError):
            fdabnn_deploy.profile(
                model, [server.address], ssh=server.options, capsule=model.parent / "b.capsule", clean=True
            )
        assert not (server.cache / "fdabnn-profile").exists()


def test_a_planted_slow_layer_is_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = write_model(tmp_path / "slow.tflite", kernel=15)

    def is_named() -> bool:
        for path, name in ((model, "old"), (slow, "new")):
            assert run(path, "--runs", 50, "--json", tmp_path / f"{name}.json") == 0
        capsys.readouterr()
        assert run("--compare", tmp_path / "old.json", tmp_path / "new.json") in (0, 5)
        named = "b" in capsys.readouterr().err.strip().rpartition(": ")[2].split(", ")
        changes = fdabnn_deploy.compare_profiles(tmp_path / "old.json", tmp_path / "new.json")
        ratios = {change.what: change.ratio or 0 for change in changes}
        return named and ratios["b"] > 4 * max(ratios["a"], ratios["c"])

    # 25 times the work shows, unless another program runs during just these microseconds; not every time.
    assert any(is_named() for _ in range(5))
    assert run("--compare", tmp_path / "old.json", tmp_path / "old.json") == 0


def test_an_onnx_file_against_another(tmp_path: Path) -> None:
    files = [write_model(tmp_path / f"{name}.onnx", size) for name, size in (("model", 1), ("other", 3))]
    result = fdabnn_deploy.profile(files[0], runs=RUNS, baseline=files[1])
    assert result.baseline is not None
    assert result.baseline.kind == "model"
    measured = result.devices[0].measurements[0]
    assert measured.baseline is not None
    assert len(measured.baseline.samples) == RUNS
    assert {layer.name for layer in measured.model.layers} >= {"a", "b", "c"}


def runners(place: str) -> list[list[str]]:
    """The arguments of programs that run from a folder or file."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str((process / "exe").readlink()).startswith(place):
                found.append((process / "cmdline").read_bytes().decode().split("\0"))
        except OSError:
            continue
    return found


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
