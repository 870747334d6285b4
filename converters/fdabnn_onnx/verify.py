"""Checks of a finished model: ONNX's own checker, strict shape inference against the graph, and what onnx-simplifier makes of it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, shape_inference

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import BATCH, FloatArray, Input
from fdabnn_onnx.build_model import DYNAMIC_BATCH

SAMPLES = 4
"""Random images at least, per comparison with the simplified model."""

ARITHMETIC_PASSES = (
    "fuse_add_bias_into_conv",
    "fuse_bn_into_conv",
    "fuse_consecutive_mul",
    "fuse_matmul_add_bias_into_gemm",
    "fuse_mul_into_conv",
    "fuse_preceding_mul_into_conv",
)
"""onnx-simplifier's passes that fold multipliers and addends into weights and biases: they round anew."""


class InvalidModelError(Exception):
    """A model that we built breaks a rule of ONNX: a bug of ours, never of the user."""


def check_model(model: ModelProto, graph: Graph, batch: int | None) -> None:
    """Runs ONNX's full check and strict shape inference, and compares every inferred shape with the graph's.

    Raises:
        InvalidModelError: one of them fails.
    """
    bare = ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    first: int | str = DYNAMIC_BATCH if batch is None else batch
    try:
        onnx.checker.check_model(model, full_check=True)
        shapes = _inferred(bare)
        if batch is None and any(
            str(size).startswith("unk__") for shape in shapes.values() for size in shape[:1]
        ):
            # The batch of a resized image is a new unknown to ONNX; a number shows that it is the batch.
            first = 2
            _set_batch(bare, first)
            shapes = _inferred(bare)
    except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise InvalidModelError(f"the built ONNX model fails ONNX's check: {error}") from error
    for node in graph:
        if isinstance(node.op, Input) and node.op.pixels:
            # Its images may have their channels last.
            continue
        expected = tuple(first if dim == BATCH else dim for dim in graph.shape(node.name))
        if shapes.get(node.name) != expected:
            raise InvalidModelError(
                f"ONNX infers shape {shapes.get(node.name)} for {node.name}, the graph {expected}"
            )


def _inferred(model: ModelProto) -> dict[str, tuple[int | str, ...]]:
    """The shapes that ONNX infers, dimensions of unknown size by name."""
    graph = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True).graph
    return {
        value.name: tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
    }


def _set_batch(model: ModelProto, batch: int) -> None:
    """Gives the inputs and outputs of any batch a number."""
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == DYNAMIC_BATCH:
                dim.dim_value = batch


def check_packed(model: ModelProto) -> None:
    """Runs ONNX's full check on a model with packed operators, whose shapes it does not infer.

    Raises:
        InvalidModelError: it fails.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, shape_inference.InferenceError) as error:
        raise InvalidModelError(f"the packed ONNX model fails ONNX's check: {error}") from error


def check_simplified(model: ModelProto) -> str:
    """Compares the model with onnx-simplifier's versions of it, on seeded normal inputs in ONNX Runtime.

    Without the passes that fold arithmetic into weights, the outputs have to be equal in every bit. With all passes, as people run the
    tool, sums are rounded elsewhere; how many outputs that changes at ONNX Runtime's default settings is reported.

    Returns:
        The note for the user.

    Raises:
        InvalidModelError: the simplified model computes something else.
        RuntimeMissingError: onnx-simplifier is not installed.
    """
    disabled = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    default = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    exact = simplified(model, ARITHMETIC_PASSES)
    different, _, _ = _compare(_outputs(model, disabled), _outputs(exact, disabled))
    if different:
        raise InvalidModelError(
            f"onnx-simplifier's version of the model differs in {different} output values"
        )
    full = simplified(model)
    different, total, largest = _compare(_outputs(model, default), _outputs(full, default))
    if not different:
        return (
            f"onnx-simplifier's version gives equal outputs ({total} values compared); "
            "the file is the one before it, in which 1-bit layers stay 1-bit"
        )
    return (
        f"onnx-simplifier's version differs in {different} of {total} output values, by up to {largest:.1e}: it folds multipliers into "
        "convolutions, which rounds anew (equal without these folds); the file is the one before it, in which 1-bit layers stay 1-bit"
    )


def simplified(model: ModelProto, skipped: tuple[str, ...] = ()) -> ModelProto:
    """Simplifies a model with onnx-simplifier, without the passes named.

    Raises:
        RuntimeMissingError: onnx-simplifier is not installed.
    """
    try:
        import onnxsim
    except ModuleNotFoundError as error:
        raise RuntimeMissingError(
            f"the ONNX converter needs the package '{error.name}': install it with  pip install 'fdabnn-deploy[export]'"
        ) from None
    result, _ = onnxsim.simplify(model, skipped_optimizers=list(skipped))
    assert isinstance(result, ModelProto)
    return result


def _outputs(model: ModelProto, level: onnxruntime.GraphOptimizationLevel) -> list[FloatArray]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(0)
    results: list[FloatArray] = []
    inputs = [
        (value.name, [d if isinstance(d, int) else 1 for d in value.shape], value.type == "tensor(uint8)")
        for value in session.get_inputs()
    ]
    for _ in range(-(-SAMPLES // inputs[0][1][0])):
        feeds = {
            name: rng.integers(0, 256, shape, np.uint8)
            if pixels
            else rng.standard_normal(shape, dtype=np.float32)
            for name, shape, pixels in inputs
        }
        results.extend(session.run(None, feeds))
    return results


def _compare(a: list[FloatArray], b: list[FloatArray]) -> tuple[int, int, float]:
    """Differing values, values in all, largest difference."""
    different = sum(int(np.count_nonzero(x != y)) for x, y in zip(a, b, strict=True))
    largest = max(float(np.max(np.abs(x - y), initial=0)) for x, y in zip(a, b, strict=True))
    return different, sum(x.size for x in a), largest
