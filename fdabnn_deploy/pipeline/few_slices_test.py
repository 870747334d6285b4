from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fdabnn_deploy.data.samples import Samples
from fdabnn_deploy.errors import ModelRefusedError, ParityError, UsageError
from fdabnn_deploy.exact.make_exact import Exact, make_exact
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.composites import ExactLayer
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.pipeline.few_slices import Chooser, Halves, check_labelled, halves, most_drop
from fdabnn_deploy.pipeline.report import Fidelity
from fdabnn_deploy.runtimes.torch_graph import TorchGraphSession
from fdabnn_deploy.runtimes.torch_module import run_module
from fdabnn_deploy.system.progress import Stages
from fdabnn_deploy.transforms.deploy import deploy
from fdabnn_deploy.verify.accuracy_drop import Pairs
from fdabnn_deploy.verify.gate.gate_testing import SHAPE, images, trained

COUNT = 240


@cache
def network() -> tuple[Graph, Exact, FloatArray, list[FloatArray]]:
    """A deployed graph, its exact form, images, and the outputs of the trained network for them."""
    module, inputs = trained(), images(COUNT)
    graph = deploy(capture(module, SHAPE), exact=True).graph
    return graph, make_exact(graph, [inputs[:16]]), inputs, run_module(module, inputs)


def samples(labels: NDArray[np.int64] | None) -> Samples:
    inputs = network()[2]
    return Samples(inputs[: None if labels is None else len(labels)], labels, "240 images", False, "set.npz")


def decided() -> NDArray[np.int64]:
    """Labels with which the trained network is always right: every decision that changes is lost."""
    found: NDArray[np.int64] = network()[3][0].argmax(axis=1)
    return found


def choose(labels: NDArray[np.int64], most: float) -> tuple[Exact, Fidelity]:
    graph, full, inputs, outputs = network()
    given = samples(labels)
    return Chooser(graph, full, inputs[:16], {}, given, inputs, outputs, halves(given, most, graph)).choose(
        Stages(None)
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("decisions", 1.0, "exact"), "--max-drop goes with --fidelity accuracy"),
        (("accuracy", None, "float"), "it needs exact numerics"),
        *(
            (
                ("accuracy", wrong, "exact"),
                "--max-drop is a number of percentage points above 0 and below 100",
            )
            for wrong in (0, -1, 100, float("nan"), float("inf"), True, "1")
        ),
    ],
)
def test_contradicting_choices_are_refused(given: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        most_drop(*given)


def test_the_drop_is_one_point_unless_said_otherwise() -> None:
    assert most_drop("decisions", None, "float") is None
    assert most_drop("accuracy", None, "exact") == 0.01
    assert most_drop("accuracy", np.float32(2.5), "exact") == 0.025


def test_samples_without_labels_are_refused() -> None:
    with pytest.raises(UsageError, match="needs labelled images, and 240 images have no labels"):
        check_labelled(samples(None), 0.01)


def test_too_few_images_are_refused_with_the_number_that_is_needed() -> None:
    with pytest.raises(
        UsageError, match=r"--max-drop 1 needs at least 918 labelled images.*240 images are 240"
    ):
        check_labelled(samples(decided()), 0.01)
    check_labelled(samples(decided()), 0.05)
    found = halves(samples(decided()), 0.05, network()[0])
    assert (len(found.choosing), len(found.testing)) == (120, 120)


def test_outputs_that_are_no_scores_are_refused() -> None:
    graph = network()[0]
    inner = next(node.name for node in graph if isinstance(node.op, ops.Sign))
    with pytest.raises(ModelRefusedError, match="holds no scores of classes"):
        halves(samples(decided()), 0.05, Graph(list(graph), [inner]))


def test_the_halves_are_drawn_and_share_no_image() -> None:
    found, again = (halves(samples(decided()), 0.05, network()[0]) for _ in range(2))
    assert sorted([*found.choosing, *found.testing]) == list(range(COUNT))
    np.testing.assert_array_equal(found.choosing, again.choosing)
    # Neither the first half nor every second one: sets are often sorted by class, or take classes in turn.
    steps = np.unique(np.diff(found.choosing))
    assert len(steps) > 2
    assert found.choosing.max() > COUNT * 0.9


def test_fewer_slices_are_taken_where_the_accuracy_stays() -> None:
    exact, found = choose(decided(), 0.5)
    assert found.tested.bound < 50
    assert (found.chosen.images, found.tested.images) == (120, 120)
    assert found.layers
    assert all(
        (layer.few.sums, layer.few.weight_bits) < (layer.full.sums, layer.full.weight_bits)
        for layer in found.layers
    )
    for layer in found.layers:
        op = exact.composed[layer.tensor].op
        assert isinstance(op, ExactLayer)
        assert len(op.products) == layer.few.sums == 1
        assert len(op.weights) == layer.few.weight_slices == 1
    assert found.text.startswith("same accuracy, not the same decisions: with 95% confidence, at most ")


def test_the_record_makes_the_same_graph_again() -> None:
    graph, _, inputs, _ = network()
    exact, _ = choose(decided(), 0.5)
    again = make_exact(graph, record=type(exact.numerics).from_text(exact.numerics.to_text()))
    assert again.numerics == exact.numerics
    (first,), (second,) = (TorchGraphSession(form.graph).run([inputs]) for form in (exact, again))
    np.testing.assert_array_equal(first, second)


def test_the_slices_are_chosen_by_the_choosing_half_alone() -> None:
    """Labels of the other half decide whether the choice passes, never which it is."""
    graph, _, _, outputs = network()
    parts = halves(samples(decided()), 0.5, graph)
    wrong = decided().copy()
    wrong[parts.testing] = (wrong[parts.testing] + 1) % outputs[0].shape[1]
    a, b = (choose(labels, 0.5)[1] for labels in (decided(), wrong))
    assert (a.chosen, a.layers) == (b.chosen, b.layers)
    assert a.tested != b.tested


class Failing(Chooser):
    """Lets only steps from a position on pass; counts what it tries."""

    first = 0

    def _passes(self, steps: list[dict[str, int]], position: int) -> bool:
        super()._passes(steps, position)
        return position >= self.first


@pytest.mark.parametrize("first", range(6))
def test_the_first_step_that_passes_is_found(first: int) -> None:
    graph, full, inputs, outputs = network()
    given = samples(decided())
    chooser = Failing(graph, full, inputs[:16], {}, given, inputs, outputs, halves(given, 0.5, graph))
    chooser.first = first
    steps = chooser._steps()
    found = chooser._first_that_passes(steps, Stages(None))
    assert found == (first if first < len(steps) - 1 else None)
    assert len(chooser._tried) <= 1 + len(steps).bit_length()


def test_steps_go_from_one_slice_to_all_of_them() -> None:
    graph, full, inputs, outputs = network()
    given = samples(decided())
    steps = Chooser(graph, full, inputs[:16], {}, given, inputs, outputs, halves(given, 0.5, graph))._steps()
    assert set(steps[0].values()) == {1}
    assert steps[-1] == {}
    assert {row.tensor for row in full.grids if row.weight_bits is not None} >= set(steps[0])
    for before, after in pairwise(steps):
        (name,) = [layer for layer in before if after.get(layer) != before[layer]]
        assert (before[name], after.get(name)) in ((1, 2), (1, None), (2, None))


def test_images_that_lose_accuracy_are_a_failure_and_too_few_are_wrong_usage() -> None:
    graph, full, inputs, outputs = network()
    given = samples(decided())
    chooser = Chooser(
        graph, full, inputs[:16], {}, given, inputs, outputs, Halves(0.01, np.arange(2), np.arange(2))
    )
    assert isinstance(chooser._refusal(Pairs(1000, 40, 20)), ParityError)
    few = chooser._refusal(Pairs(500, 20, 20))
    assert isinstance(few, UsageError)
    assert "240 labelled images are too few to say more, about" in str(few)


def test_accuracy_that_only_the_testing_half_loses_is_refused() -> None:
    graph, full, inputs, outputs = network()
    given, one = samples(decided()), choose(decided(), 0.5)[0]
    (few,) = TorchGraphSession(one.graph).run([inputs])
    changed = few.argmax(axis=1) != decided()
    assert 0 < changed.sum() < COUNT / 2
    parts = Halves(0.5, np.flatnonzero(~changed), np.flatnonzero(changed))
    chooser = Chooser(graph, full, inputs[:16], {}, given, inputs, outputs, parts)
    with pytest.raises(
        ParityError, match=r"accuracy falls by up to 100 points.*no file was written.*--max-drop"
    ):
        chooser.choose(Stages(None))


def test_networks_with_nothing_to_leave_out_are_refused() -> None:
    graph, _, inputs, outputs = network()
    given, one = samples(decided()), choose(decided(), 0.5)[0]
    chooser = Chooser(graph, one, inputs[:16], {}, given, inputs, outputs, halves(given, 0.5, graph))
    with pytest.raises(ModelRefusedError, match="can do with fewer slices"):
        chooser.choose(Stages(None))
