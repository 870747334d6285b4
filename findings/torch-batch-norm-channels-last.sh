#!/usr/bin/env bash
# PyTorch 2.13.0 (CPU, x86-64): batch norm in training is tens of times less exact for images in channels-last memory than for the same
# values in contiguous memory.
#
# Seen: the largest error over the largest value, against float64, was 9.0e-08 contiguous and 7.3e-06 channels-last for 64 images of
# 16 x 32 x 32 with mean 1 and deviation 3. Nothing but the memory format differs. A network that takes the sign of the result sees it:
# of values close to the mean some change their sign, and two trainings of one binary network part within its first blocks.
#
# Fails if the channels-last form is no longer at least 10 times as far from float64.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.3.5
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.nn import functional as F

torch.manual_seed(0)
torch.set_num_threads(1)
x = torch.randn(64, 16, 32, 32) * 3 + 1
exact = F.batch_norm(x.double(), None, None, training=True)
errors = {}
for name, value in (("contiguous", x), ("channels-last", x.to(memory_format=torch.channels_last))):
    result = F.batch_norm(value, None, None, training=True)
    errors[name] = ((result - exact).abs().max() / exact.abs().max()).item()
    print(f"torch {torch.__version__}  {name:14s} error {errors[name]:.1e}")
assert errors["contiguous"] < 3e-7, "contiguous memory is no longer exact to float32"
assert errors["channels-last"] > 10 * errors["contiguous"], "channels-last memory is as exact as contiguous memory now"
PYTHON
echo "as described"
