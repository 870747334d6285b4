"""Files, reports and capsules of an earlier version are read, and what is written now has all fields that they have.

Exports choose other numerics than that version did; the numerics that its files record still give its files, byte by byte.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from fdabnn_deploy.cli import export, parity, profile
from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.exact.record import KEY, Numerics
from fdabnn_deploy.frontend import checkpoint
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.measure.statistics import Statistics
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_deploy.transforms.deploy import deploy

pytestmark = pytest.mark.runtimes

FOLDER = Path(__file__).parent / "fixtures" / "written_before"
NETWORK = ("--model", "small_network:network", "--input-shape", "3,8,8")
SAMPLES = str(FOLDER / "samples.npz")
FREE = {
    "packages",
    "counts",
    "op_counts",
    "facts",
    "zeros",
    "structural",
    "weight_zeros",
    "training",
    "metadata",
}
"""Tables whose keys are no fields: names of packages, operators and layers."""


@pytest.fixture(autouse=True)
def _network_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def fields(value: Any, path: str = "") -> Iterator[str]:
    """Every field of a report, entries of lists under one path."""
    if isinstance(value, list):
        for entry in value:
            yield from fields(entry, f"{path}[]")
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield f"{path}.{name}"
            if name not in FREE:
                yield from fields(entry, f"{path}.{name}")


def empty(value: Any, path: str = "") -> Iterator[str]:
    """Every field of a report that is null, and so has no fields of its own."""
    if isinstance(value, list):
        for entry in value:
            yield from empty(entry, f"{path}[]")
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from empty(entry, f"{path}.{name}")
    elif value is None:
        yield path


def lost(old: Any, new: Any) -> set[str]:
    """The fields of the old report that the new one lacks, those below a null of the new one left out."""
    unknown = tuple(f"{path}." for path in empty(new))
    return {path for path in fields(old) if not path.startswith(unknown)} - set(fields(new))


def old_report(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["small.onnx", "small.packed.onnx", "small.tflite"])
def test_a_file_gives_the_bits_of_its_checkpoint(name: str) -> None:
    assert parity.main([str(FOLDER / "small.pt"), str(FOLDER / name), "--inputs", SAMPLES, *NETWORK]) == 0


@pytest.mark.usefixtures("lce")
def test_files_are_compared_and_no_field_of_the_report_is_lost(tmp_path: Path) -> None:
    found = tmp_path / "parity.json"
    files = [str(FOLDER / name) for name in ("small.onnx", "small.tflite")]
    assert parity.main([*files, "--inputs", SAMPLES, "--per-layer", "--json", str(found)]) == 0
    assert not lost(old_report("parity.json"), json.loads(found.read_text()))


@pytest.mark.parametrize("via", ["own", "lce"])
def test_an_export_is_verified_and_no_field_of_the_report_is_lost(
    via: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if via == "lce":
        request.getfixturevalue("lce")
    found = tmp_path / "export.json"
    arguments = [
        str(FOLDER / "small.pt"),
        *NETWORK,
        "--samples",
        SAMPLES,
        "--out",
        str(tmp_path),
        "--via",
        via,
    ]
    assert export.main([*arguments, "--json", str(found)]) == 0
    assert not lost(old_report("export.json"), json.loads(found.read_text()))


def written_again(name: str, to: Path, **options: Any) -> Path:
    """A file of the checkpoint, with the numerics that an old file records: today's choices are others, slices of the weights of 8 bits."""
    (text,) = (e.value for e in onnx.load(FOLDER / "small.onnx").metadata_props if e.key == KEY)
    source = checkpoint.read(FOLDER / "small.pt", model="small_network:network", input_shape=(3, 8, 8))
    graph = deploy(capture(source.module, source.info.input_shape)).graph
    exact = make_exact(graph, record=Numerics.from_text(text)).composed
    path = to / name
    converter = find_converter("tflite" if path.suffix == ".tflite" else "onnx")
    converter.convert(exact, replace(source.info, numerics=text), path, ConvertOptions(**options))
    return path


def test_the_record_of_a_file_gives_its_bytes_again(tmp_path: Path) -> None:
    """With weights as floats, as that version stored them."""
    path = written_again("small.onnx", tmp_path, constants="float")
    assert _without_checksum(path) == _without_checksum(FOLDER / "small.onnx")


@pytest.mark.usefixtures("lce")
def test_the_record_of_a_file_gives_the_bytes_of_lces_converter_again(tmp_path: Path) -> None:
    """That version had no other writer of TFLite files."""
    path = written_again("small.tflite", tmp_path, via="lce")
    assert path.read_bytes() == (FOLDER / "small.tflite").read_bytes()


@pytest.mark.parametrize(
    ("name", "kernels"),
    [("small.onnx", "standard"), ("small.packed.onnx", "packed"), ("small.tflite", "standard")],
)
@pytest.mark.parametrize("constants", ["integer", "float"])
def test_a_file_written_again_gives_the_bits_of_the_old_one(
    name: str, kernels: str, constants: str, tmp_path: Path
) -> None:
    path = written_again(name, tmp_path, kernels=kernels, constants=constants)
    assert parity.main([str(path), str(FOLDER / name), "--inputs", SAMPLES]) == 0


def _without_checksum(path: Path) -> bytes:
    """An ONNX file without the record that earlier versions did not write."""
    model = onnx.load(path)
    kept = [record for record in model.metadata_props if record.key != "fdabnn_sha256"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def test_a_capsule_is_replayed_and_no_field_of_the_profile_is_lost(tmp_path: Path) -> None:
    found = tmp_path / "profile.json"
    capsule = str(FOLDER / "small.capsule")
    assert profile.main([str(FOLDER / "small.tflite"), "--capsule", capsule, "--json", str(found)]) == 0
    assert not lost(old_report("profile.json"), json.loads(found.read_text()))


def test_a_report_on_a_loaded_machine_loses_no_statistics() -> None:
    # Statistics are null where the machine was not quiet: their names are compared by themselves.
    (device,) = old_report("profile.json")["devices"]
    names = {field.name for field in dataclasses.fields(Statistics)}
    for measurement in device["measurements"]:
        assert set(measurement["model"]["statistics"] or names) <= names


def test_a_profile_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = str(FOLDER / "profile.json")
    assert profile.main(["--compare", old, old]) == 0
    assert "the same within noise" in capsys.readouterr().out
