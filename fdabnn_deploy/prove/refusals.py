"""Why some operators can never be proved, by their name in lower case without underscores."""

from __future__ import annotations

_ROUNDS = "runtimes compute it with approximations of their own, which round differently"
_REASONS = {
    "div": "some runtimes divide and others multiply by the rounded reciprocal",
    "batchnormalization": "every runtime folds or orders batch normalisation differently: write a product and a sum",
    "softmax": _ROUNDS,
    "logsoftmax": _ROUNDS,
    "hardswish": _ROUNDS,
    "hardsigmoid": _ROUNDS,
    "sigmoid": _ROUNDS,
    "logistic": _ROUNDS,
    "tanh": _ROUNDS,
    "exp": _ROUNDS,
    "gelu": _ROUNDS,
}


def reason(op: str) -> str:
    """The reason why an operator is refused."""
    return _REASONS.get(op.lower().replace("_", ""), "the prover does not know this operator")
