"""Remedies: code to write instead of an operator that cannot be deployed. `remedies_test.py` exports the rewritten networks."""

from __future__ import annotations

GENERAL = (
    "rewrite it with convolutions, dense layers, pooling, activations that clamp (ReLU, PReLU, Hardtanh) and arithmetic with constants, or "
    "move it out of the exported module"
)

_SMOOTH = "replace it by one that clamps and train on: {} (smooth functions are rounded differently by every runtime)"
_ROUNDING = (
    "where it leaves two values it is a comparison, and {0} * 2 - 1 is the same as ({1}).float() * 2 - 1; where it leaves more, leave the "
    "rounding out and keep the clamp, and check the accuracy, or train on without it"
)
_FROM_INPUT = (
    "it is computed from the input: leave it out where only a sign reads it and it scales all values alike, else replace it by a constant "
    "such as a BatchNorm's statistics and train on"
)

_REMEDIES: dict[str, str] = {
    "floor": _ROUNDING.format("torch.floor(torch.clamp(x, 0, 1))", "x >= 1"),
    "ceil": _ROUNDING.format("torch.ceil(torch.clamp(x, 0, 1))", "x > 0"),
    "mish": _SMOOTH.format("nn.PReLU or nn.ReLU"),
    "softplus": _SMOOTH.format("nn.ReLU"),
    "exp": _SMOOTH.format("nn.PReLU or nn.ReLU"),
    "sin": _SMOOTH.format("F.hardtanh(x)"),
    "layer_norm": "replace it by a BatchNorm, whose statistics are constants, and train on",
    "native_layer_norm": "replace it by a BatchNorm, whose statistics are constants, and train on",
    "group_norm": "replace it by a BatchNorm, whose statistics are constants, and train on",
    "native_group_norm": "replace it by a BatchNorm, whose statistics are constants, and train on",
    "instance_norm": "replace it by a BatchNorm, whose statistics are constants, and train on",
    "sqrt": _FROM_INPUT,
    "rsqrt": _FROM_INPUT,
    "reciprocal": _FROM_INPUT,
    "var": _FROM_INPUT,
    "var_mean": _FROM_INPUT,
    "std": _FROM_INPUT,
    "norm": _FROM_INPUT,
    "linalg_vector_norm": _FROM_INPUT,
    "div": _FROM_INPUT,
    "conv3d": "only 2-D convolutions can be deployed: split it into convolutions of the frames, joined as channels",
    "argmax": "return the logits, and choose the largest outside of the model",
    "topk": "return the logits, and choose the largest outside of the model",
    "softmax": "return the logits: they rank the classes alike",
    "matmul": "as in attention: replace it by a dense layer over the tokens, with trained weights",
    "bmm": "as in attention: replace it by a dense layer over the tokens, with trained weights",
    "baddbmm": "as in attention: replace it by a dense layer over the tokens, with trained weights",
    "scaled_dot_product_attention": (
        "attention multiplies two activations, which cannot be deployed: replace it by a dense layer over the tokens"
    ),
    "einsum": "write a product with a constant as a convolution or dense layer",
    "lstm": "recurrent layers cannot be deployed: export the layers in front of them",
    "gru": "recurrent layers cannot be deployed: export the layers in front of them",
    "embedding": "look the embedding up outside, and export what takes its result",
}  # fmt: skip


def remedy_for(function: str) -> str:
    """The remedy for an ATen function by its name."""
    return _REMEDIES.get(function, GENERAL)
