from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Input, Relu, Reshape
from fdabnn_tflite.runtime.tensors import Layout
from fdabnn_tflite.saved_model import import_tensorflow
from fdabnn_tflite.tensor_layout import FLAT, NHWC, Form
from fdabnn_tflite.tensorflow_emitter import TensorFlowEmitter, op_names

pytestmark = pytest.mark.runtimes

GRAPH = Graph(
    [Node("x", Input((3, 4, 5))), Node("flat", Reshape((60,)), ("x",)), Node("y", Relu(), ("flat",))], ["y"]
)


def emitter_and_image(flipped: bool) -> tuple[Any, TensorFlowEmitter, Any]:
    tf, _ = import_tensorflow()
    return (
        tf,
        TensorFlowEmitter(GRAPH, flipped, tf.raw_ops, tf.constant),
        tf.compat.v1.placeholder(tf.float32, [None, 4, 5, 3], name="x"),
    )


def test_op_names_stand_in_order_and_survive_the_converters_changes() -> None:
    assert op_names("n12_;n7_;n110_;;n3_1") == ["n3_", "n7_", "n12_", "n110_"]
    assert op_names("n12_/filter;n2_") == ["n2_"]
    assert op_names("n12_;n1") == ["n12_"]
    assert op_names("PartitionedCall:0") == []
    assert op_names("arith.constant12") == []


@pytest.mark.parametrize("flipped", [False, True])
def test_what_a_form_takes_is_emitted_once(flipped: bool) -> None:
    tf, _ = import_tensorflow()
    with tf.Graph().as_default() as function:
        tf, emitter, image = emitter_and_image(flipped)
        rows = emitter.reshape(image, (-1, 60))
        emitter.define("flat", rows, Form(Layout.FLAT, (3, 4, 5)))
        assert emitter.flat("flat") == (rows, Form(Layout.FLAT, (3, 4, 5)))
        plain = emitter.as_form("flat", FLAT)
        count = len(function.get_operations())
        assert emitter.as_form("flat", FLAT) is plain
        pixel, form = emitter.pixel("flat")
        assert form == Form(Layout.PIXEL, (3, 4, 5))
        assert emitter.pixel("flat")[0] is pixel
        assert pixel.shape.as_list() == [None, 1, 1, 60]
        assert len(function.get_operations()) == count + 2, "one reshape and its constant"
        with tf.compat.v1.Session() as session:
            values = np.arange(60.0, dtype=np.float32).reshape(1, 4, 5, 3)
            stored = values[:, ::-1, ::-1] if flipped else values
            result = session.run(plain, {image: stored})
        assert np.array_equal(result, values.transpose(0, 3, 1, 2).reshape(1, 60))


def test_a_sign_is_emitted_once_per_tensor() -> None:
    tf, _ = import_tensorflow()
    with tf.Graph().as_default():
        tf, emitter, image = emitter_and_image(False)
        assert emitter.sign(image) is emitter.sign(image)
        cropped = emitter.crop(image, (1, 0))
        assert cropped.shape.as_list() == [None, 3, 5, 3]
        assert emitter.sign(cropped) is not emitter.sign(image)
        assert len(emitter.signs) == 2
        assert emitter.crop(image, (0, 0)) is image
        assert emitter.pad(image, ((0, 0), (0, 0)), 1.0) is image


def test_ops_remember_their_node_and_their_place() -> None:
    tf, _ = import_tensorflow()
    with tf.Graph().as_default():
        tf, emitter, image = emitter_and_image(True)
        emitter.begin(GRAPH["x"])
        mirrored = emitter.mirrored(image, (-1, 3, 4, 5))
        emitter.define("x", mirrored, NHWC)
        assert emitter.begin(GRAPH["y"]) is GRAPH["x"]
        act = emitter.emit("Relu", features=mirrored)
        emitter.define("y", act, NHWC)
    assert emitter.owners[act.op.name] is GRAPH["y"]
    assert emitter.owners[mirrored.op.name] is GRAPH["x"]
    assert emitter.places == {act.op.name: [("y", NHWC)]}, (
        "an input is what the user gives, not what the file mirrors"
    )
