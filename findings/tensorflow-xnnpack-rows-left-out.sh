#!/usr/bin/env bash
# TensorFlow 2.21.0 (tf.lite.Interpreter, XNNPACK, x86-64): a CONV_2D with padding SAME whose kernel is one row high and wider than one
# pixel gives wrong values all over if its stride leaves out the last row of the image.
#
# Seen: kernel 1x3, stride 2, an image of 6 x 9: 14 or all of 15 values differ from the built-in reference kernels, which agree with
# tf.nn.conv2d. The same kernel with stride 1, with padding VALID, upright (3x1), or on 7 rows, where the stride ends on the last, is right.
# The formula of SAME asks for max((out - 1) * stride + kernel - size, 0) rows of zeros; here the term is negative. LiteRT 2.3.0 is right.
#
# Fails if the values become right.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow==2.21.0 numpy==1.26.4
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - 2>"$folder/log" <<'PYTHON' || { cat "$folder/log" >&2; exit 1; }
import numpy as np
import tensorflow as tf

Resolver = tf.lite.experimental.OpResolverType


def wrong(kernel, stride, padding, size):
    """How many values of a convolution of small integers are not what tf.nn.conv2d computes: reference kernels, XNNPACK."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-4, 5, (*kernel, 1, 1)).astype(np.float32)
    image = rng.integers(-4, 5, (1, *size, 1)).astype(np.float32)
    spec = tf.TensorSpec(image.shape)
    function = tf.function(lambda x: tf.nn.conv2d(x, weights, stride, padding), input_signature=[spec])
    model = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()]).convert()
    expected = tf.nn.conv2d(image, weights, stride, padding).numpy()
    counts = []
    for resolver in (Resolver.BUILTIN_REF, Resolver.AUTO):
        interpreter = tf.lite.Interpreter(model_content=model, experimental_op_resolver_type=resolver)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
        result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        counts.append(int((result != expected).sum()))
    print(f"{kernel} stride {stride} {padding:5} {size}: wrong {counts} of {expected.size}")
    return counts


reference, xnnpack = wrong((1, 3), 2, "SAME", (6, 9))
assert reference == 0 and xnnpack >= 12, "XNNPACK's values have changed"
for case in (((1, 3), 1, "SAME", (6, 9)), ((1, 3), 2, "VALID", (6, 9)), ((3, 1), 2, "SAME", (6, 9)), ((1, 3), 2, "SAME", (7, 9))):
    assert wrong(*case) == [0, 0], case
PYTHON
echo "as described"
