#!/usr/bin/env bash
# TensorFlow 2.21.0: its converter to TFLite, with no optimisation asked for, makes one operator of two additions of constants and keeps
# all other pairs; tf.function itself does it the other way round.
#
# (x + a) + b becomes x + (a + b): one rounding where the model has two, so 357 of 1000 values differ from NumPy's. x + a - b, x - a + b,
# x - a - b, x * a * b and (x + a) * b stay two operators with the model's bits. When tf.function runs the model, its graph optimiser merges
# the constants of x + a + b, x - a - b, x - a + b and x * a * b all alike. So neither is a reference for the other: a file has to be
# compared with what the layers compute one after the other. A constant that is to be added twice keeps its bits if the second is
# subtracted with the other sign.
#
# Fails if the converter keeps both additions, or merges one of the other pairs.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorflow==2.21.0 numpy==1.26.4
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - 2>"$folder/log" <<'PYTHON' || { cat "$folder/log" >&2; exit 1; }
import numpy as np
import tensorflow as tf

rng = np.random.default_rng(0)
x, a, b = (rng.standard_normal((1, 1000)).astype(np.float32) for _ in range(3))


def merged(name, model):
    """The operators of the converted model, and in how many values it and tf.function differ from NumPy, which computes one by one."""
    function = tf.function(model, input_signature=[tf.TensorSpec(x.shape)])
    content = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()]).convert()
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    operators = [entry["op_name"] for entry in interpreter._get_ops_details() if entry["op_name"] != "DELEGATE"]
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    converted = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    counts = [int((result != model(x)).sum()) for result in (converted, function(tf.constant(x)).numpy())]
    print(f"{name:10} {' '.join(operators):8} values that differ: converted {counts[0]:3}, tf.function {counts[1]:3}")
    return len(operators), *counts


operators, converted, function = merged("x + a + b", lambda t: t + a + b)
assert operators == 1 and converted > 0 and function > 0, "two additions are kept now"
assert merged("x + a - b", lambda t: t + a - b)[:2] == (2, 0)
assert merged("(x + a) * b", lambda t: (t + a) * b) == (2, 0, 0)
for name, model in {
    "x - a + b": lambda t: t - a + b,
    "x - a - b": lambda t: t - a - b,
    "x * a * b": lambda t: t * a * b,
}.items():
    operators, converted, function = merged(name, model)
    assert (operators, converted) == (2, 0) and function > 0, name
PYTHON
echo "as described"
