from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.runtimes import batches

IMAGES = np.arange(10, dtype=np.float32).reshape(5, 2) + 1


def run(compute: Callable[[FloatArray], batches.Result], size: int | None) -> Array:
    sizes = set()

    def call(inputs: list[FloatArray]) -> list[batches.Result]:
        sizes.add(len(inputs[0]))
        return [compute(inputs[0])]

    (values,) = batches.run(call, [IMAGES], size, ["y"], "the model")
    assert size is None or sizes == {size}
    return values


@pytest.mark.parametrize("size", [None, 1, 2, 5, 8])
def test_rows_are_put_together(size: int | None) -> None:
    assert np.array_equal(run(lambda x: x + 1, size), IMAGES + 1)
    assert run(lambda x: x.astype(np.int64), size).dtype == np.int64


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize(
    ("compute", "shape"),
    [
        (lambda x: np.stack([x] * 6).reshape(6, len(x), 2), (5, 6, 1, 2)),  # time first
        (lambda x: x.T, (5, 2, 1)),  # transposed
        (lambda x: x.sum(), (5,)),  # a scalar
        (lambda x: np.concatenate([x, x]), (5, 2, 2)),  # two boxes of every image
    ],
)
def test_no_value_is_left_out(
    compute: Callable[[FloatArray], Array], shape: tuple[int, ...], size: int | None
) -> None:
    values = run(lambda x: np.asarray(compute(x)), size)
    assert values.shape == shape
    assert np.array_equal(values, [np.asarray(compute(image[None])) for image in IMAGES])


@pytest.mark.parametrize("size", [None, 1])
def test_sequences_and_shapes_of_every_image_s_own(size: int | None) -> None:
    values = run(lambda x: [x, x + 1], size)
    assert values.dtype == object
    assert [[part.tolist() for part in image] for image in values] == [
        [image.tolist(), (image + 1).tolist()] for image in IMAGES
    ]
    boxes = run(lambda x: np.arange(int(x[0, 0])), 1)
    assert [part.tolist() for (part,) in boxes] == [
        list(range(int(image[0]))) if image[0] > 1 else 0 for image in IMAGES
    ]


def test_parts_of_one_shape_and_of_several_are_joined() -> None:
    same, other = np.ones((2, 3)), np.ones((2, 4))
    assert batches.join([same, same]).shape == (4, 3)
    joined = batches.join([same, other])
    assert [image[0].shape for image in joined] == [(3,), (3,), (4,), (4,)]
    assert len(batches.join([joined, same])) == 6


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(
        ModelRefusedError, match=r"computes 2 inputs at once, and its output y does not have them as its"
    ):
        run(lambda x: x.T.reshape(1, -1), 2)
    with pytest.raises(
        ModelRefusedError, match="output y mixes them: export it with batch 1, or give a multiple of 2"
    ):
        run(lambda x: x - x.mean(), 2)
    with pytest.raises(ModelRefusedError, match="does not have them as its first axis"):
        run(lambda x: [x], 2)
    # Whole batches need no filling up, so that nothing is cut off.
    assert np.array_equal(run(lambda x: x - x.mean(), 5), IMAGES - IMAGES.mean())
