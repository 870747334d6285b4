#!/usr/bin/env bash
# larq-compute-engine 0.16.0: its converter does not store a large binary filter whose packed words are all equal: it writes a FILL
# operator that computes the filter whenever the model runs.
#
# A wide binary layer whose weights all have one sign is such a filter (a positive dense layer is one). The convolution's filter is then a
# tensor without a buffer. LCE's own interpreter runs it; whatever reads filters when the model is prepared, as delegates and hardware
# compilers do, finds none. Seen: operators FILL, CUSTOM and CUSTOM with 512 channels of 3 x 3 x 512, no FILL where one weight differs.
#
# Fails if the converter stores the filter.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet larq-compute-engine==0.16.0 tensorflow==2.21.0 numpy==1.26.4 \
    ai-edge-litert==2.3.0
TF_CPP_MIN_LOG_LEVEL=3 "$folder/venv/bin/python" - <<'PYTHON'
import larq_compute_engine as lce
import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema


def sign(x):
    return tf.where(x < 0, -tf.ones_like(x), tf.ones_like(x))


def operators(filters):
    @tf.function(input_signature=[tf.TensorSpec([1, 4, 4, 512], tf.float32)])
    def network(x):
        return tf.nn.conv2d(sign(x), tf.constant(filters), 1, "VALID")

    module = tf.Module()
    module.network = network
    tf.saved_model.save(module, "saved", signatures=network)
    model = schema.ModelT.InitFromPackedBuf(lce.convert_saved_model("saved"), 0)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    codes = [model.operatorCodes[operator.opcodeIndex] for operator in model.subgraphs[0].operators]
    return [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in codes]


positive = np.ones((3, 3, 512, 512), np.float32)
mixed = positive.copy()
mixed[0, 0, 0, 0] = -1
found = operators(positive), operators(mixed)
print("all weights +1:", *found[0])
print("one weight -1: ", *found[1])
assert "FILL" in found[0], "the filter is stored now"
assert "FILL" not in found[1]
PYTHON
echo "as described"
