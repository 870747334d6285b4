"""The passes, one rewrite per file, in the order in which they run.

Each takes a verified graph and returns a verified graph with an account: how often it applied, and where it did not, why.
"""

from functools import partial

from fdabnn_deploy.ir.sign_zero import SignZero
from fdabnn_deploy.transforms.affine.absorb_padding import absorb_padding
from fdabnn_deploy.transforms.affine.border_classes import border_classes
from fdabnn_deploy.transforms.affine.drop_noise import drop_noise
from fdabnn_deploy.transforms.affine.fold_affine import fold_affine
from fdabnn_deploy.transforms.affine.fold_constants import fold_constants
from fdabnn_deploy.transforms.affine.fold_norm import fold_norm
from fdabnn_deploy.transforms.base import Outcome, Pass
from fdabnn_deploy.transforms.lower_functions import lower_functions
from fdabnn_deploy.transforms.name_tensors import name_tensors
from fdabnn_deploy.transforms.signs.canonical_sign import canonical_sign
from fdabnn_deploy.transforms.signs.lower_masks import lower_masks
from fdabnn_deploy.transforms.signs.positive_divisors import positive_divisors
from fdabnn_deploy.transforms.signs.recognise_binary import recognise_binary
from fdabnn_deploy.transforms.signs.sink_sign import sink_sign
from fdabnn_deploy.transforms.signs.split_sign import split_sign
from fdabnn_deploy.transforms.signs.straight_through import straight_through
from fdabnn_deploy.transforms.simplify import simplify
from fdabnn_deploy.transforms.sink_reshape import sink_reshape
from fdabnn_deploy.transforms.smooth_functions import smooth_functions


def passes(sign_zero: SignZero = "plus") -> tuple[tuple[str, Pass], ...]:
    """The passes by name, for a choice of what zeros at signs count as."""
    return (
        ("drop_noise", drop_noise),
        ("straight_through", straight_through),
        ("canonical_sign", partial(canonical_sign, sign_zero=sign_zero)),
        ("positive_divisors", positive_divisors),
        ("lower_masks", lower_masks),
        ("lower_functions", lower_functions),
        ("smooth_functions", smooth_functions),
        ("fold_norm", fold_norm),
        ("fold_constants", fold_constants),
        ("sink_reshape", sink_reshape),
        ("absorb_padding", absorb_padding),
        ("fold_affine (before recognition)", fold_affine),
        ("sink_sign", sink_sign),
        ("recognise_binary", recognise_binary),
        ("split_sign", split_sign),
        ("fold_affine", fold_affine),
        ("simplify", simplify),
        ("border_classes", border_classes),
        ("name_tensors", name_tensors),
    )


__all__ = ["Outcome", "Pass", "passes"]
