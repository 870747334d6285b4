"""The ONNX converter: lowers, checks, writes."""

from __future__ import annotations

from pathlib import Path

import onnx

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.ir.composites import decompose
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.system.files import write_whole
from fdabnn_deploy.targets.converter import Artifact, ConvertOptions
from fdabnn_onnx.build_model import build_model
from fdabnn_onnx.op_counts import count_ops
from fdabnn_onnx.packed import build_packed, is_packed
from fdabnn_onnx.registration import TARGET
from fdabnn_onnx.runtime import checksum
from fdabnn_onnx.verify import check_model, check_packed, check_simplified, simplified

BATCH_VARIANT = 4

PACKED_NOTE = (
    "the file has operators of the domain fdabnn, which ONNX Runtime gets from "
    "session_options.register_custom_ops_library(fdabnn_deploy.custom_ops_path())"
)


class OnnxConverter:
    """Writes deployed graphs as ONNX files; see `fdabnn_deploy.targets.converter.Converter`."""

    def convert(self, graph: Graph, info: ModelInfo, path: Path, options: ConvertOptions) -> Artifact:
        """Writes the graph as standard operators of opset 17, one or two per operator of the graph, or with packed ones, if asked for.

        The file is written as lowered and not as onnx-simplifier leaves it: the simplifier folds multipliers into the weights of +-1,
        which makes 1-bit layers float ones, rounds anew, and drops the tensors that a comparison layer by layer needs.
        ONNX Runtime applies the same folds by itself when it loads the file.

        Raises:
            ModelRefusedError: an operator has no form in ONNX here.
            UsageError: the batch size is not positive.
            NotWrittenError: the file cannot be written.
            RuntimeMissingError: onnx-simplifier is not installed.
        """
        if options.batch is not None and options.batch < 1:
            raise UsageError(f"batch size {options.batch}: give a positive number, or 'dynamic'")
        standard = decompose(graph)
        integers = options.constants == "integer"
        content = build_model(standard, info, options.batch, integers=integers).SerializeToString(
            deterministic=True
        )
        finished = onnx.load_model_from_string(content)
        check_model(finished, standard, options.batch)
        notes = [check_simplified(finished)]
        if options.kernels == "packed":
            finished = build_packed(graph, info, options.batch, integers=integers)
            content = finished.SerializeToString(deterministic=True)
            check_packed(finished)
            notes = [PACKED_NOTE]
        write_whole(path, checksum.seal(content))
        return Artifact(TARGET.name, path, count_ops(finished), tuple(notes))

    def variants(
        self, graph: Graph, info: ModelInfo, artifact: Artifact, options: ConvertOptions, folder: Path
    ) -> dict[str, Path]:
        """The file as onnx-simplifier leaves it, and one of batch size 4; see `fdabnn_deploy.targets.converter.Converter.variants`.

        onnx-simplifier does not know packed operators: of such a file there is no simplified form.
        """
        integers = options.constants == "integer"
        if is_packed(onnx.load(artifact.path)):
            forms = {f"batch {BATCH_VARIANT}": build_packed(graph, info, BATCH_VARIANT, integers=integers)}
            return self._write_variants(forms, artifact, folder)
        several = build_model(graph, info, BATCH_VARIANT, integers=integers)
        forms = {
            "simplified": simplified(onnx.load(artifact.path)),
            f"batch {BATCH_VARIANT}": several,
            f"simplified, batch {BATCH_VARIANT}": simplified(several),
        }
        return self._write_variants(forms, artifact, folder)

    def _write_variants(
        self, forms: dict[str, onnx.ModelProto], artifact: Artifact, folder: Path
    ) -> dict[str, Path]:
        paths = {}
        for i, (name, model) in enumerate(forms.items()):
            paths[name] = folder / f"{artifact.path.stem}.variant{i}{TARGET.suffix}"
            write_whole(paths[name], model.SerializeToString(deterministic=True))
        return paths


CONVERTER = OnnxConverter()
