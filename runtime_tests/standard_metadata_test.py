"""TFLite's own metadata, read by the library that its tools use (its wheels end with Python 3.11)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fdabnn_tflite.runtime.litert import LiteRtRuntime
from instruction_counts.model_files import Files

TFLITE_SUPPORT = "0.4.4"
PROGRAM = """
import json, sys, zipfile
from tensorflow_lite_support.metadata import metadata_schema_py_generated as metadata
from tensorflow_lite_support.metadata import schema_py_generated as tflite

content = open(sys.argv[1], "rb").read()
model = tflite.ModelT.InitFromObj(tflite.Model.GetRootAsModel(content, 0))
(place,) = [entry.buffer for entry in model.metadata if entry.name == b"TFLITE_METADATA"]
assert metadata.ModelMetadata.ModelMetadataBufferHasIdentifier(bytes(model.buffers[place].data), 0)
found = metadata.ModelMetadata.GetRootAsModelMetadata(bytes(model.buffers[place].data), 0)
(subgraph,) = metadata.ModelMetadataT.InitFromObj(found).subgraphMetadata
(image,), (scores,) = subgraph.inputTensorMetadata, subgraph.outputTensorMetadata
(unit,), (labels,) = image.processUnits, scores.associatedFiles
assert unit.optionsType == metadata.ProcessUnitOptions.NormalizationOptions
assert image.content.contentPropertiesType == metadata.ContentProperties.ImageProperties
assert image.content.contentProperties.colorSpace == metadata.ColorSpaceType.RGB
assert labels.type == metadata.AssociatedFileType.TENSOR_AXIS_LABELS
print(json.dumps({
    "mean": list(map(float, unit.options.mean)), "std": list(map(float, unit.options.std)),
    "range": [float(image.stats.min[0]), float(image.stats.max[0])],
    "classes": zipfile.ZipFile(sys.argv[1]).read(labels.name.decode()).decode().splitlines(),
}))
"""


@pytest.mark.long
def test_tflite_support_reads_normalisation_range_and_classes(resnet20_files: Files, tmp_path: Path) -> None:
    if sys.version_info[:2] != (3, 11):
        pytest.skip(f"tflite-support {TFLITE_SUPPORT} has wheels up to Python 3.11")
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", f"--target={site}"]
    subprocess.run([*pip, f"tflite-support=={TFLITE_SUPPORT}"], check=True)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(resnet20_files.tflite)],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    texts = LiteRtRuntime().metadata(resnet20_files.tflite)
    own = {name: json.loads(texts[name]) for name in ("mean", "std", "input_range", "classes")}
    for name in ("mean", "std"):
        assert found[name] == pytest.approx([255 * value for value in own[name]], rel=1e-6)
    assert found["range"] == pytest.approx(own["input_range"], rel=1e-6)
    assert found["classes"] == own["classes"]
