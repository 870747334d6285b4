from __future__ import annotations

from dataclasses import replace

import pytest

from fdabnn_deploy.exact.record import MOST_BITS, PARTS, Cut, Numerics

RECORD = Numerics(
    "exact",
    {
        "conv1/conv2d": Cut(-2.5, 2.5, 8),
        "conv2/conv2d": Cut(-2.5, 2.5, 8, 4, 8),
        "linear/linear": Cut(0.0, 1 / 3, None, 3),
    },
)


def test_text_gives_the_record_again() -> None:
    text = RECORD.to_text()
    assert "\n" not in text
    assert Numerics.from_text(text) == RECORD
    assert list(Numerics.from_text(text).cuts) == ["conv1/conv2d", "conv2/conv2d", "linear/linear"]


def test_what_zeros_count_as_is_recorded_unless_it_is_the_default() -> None:
    assert "sign_zero" not in RECORD.to_text()
    exact = replace(RECORD, sign_zero="exact")
    assert Numerics.from_text(exact.to_text()) == exact


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("bits", [None, 2, 8, MOST_BITS])
def test_every_number_of_parts_and_bits_is_read(parts: int, bits: int | None) -> None:
    """A record of an earlier version names no bits: it has four values."""
    cut = Cut(0.0, 1.0, 8, parts, bits)
    assert len(cut.to_list()) == (4 if bits is None else 5)
    assert Numerics.from_text(Numerics("exact", {"a": cut}).to_text()).cuts["a"] == cut


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"mode": "exact"}', '{"mode": "nearly", "cuts": {}}', '{"mode": "exact", "cuts": {"a": [1]}}',
        '{"mode": "exact", "cuts": {"a": [1, 0, 8, 1]}}', '{"mode": "exact", "cuts": {"a": [0, 1, 8.5, 1]}}',
        '{"mode": "exact", "cuts": {"a": [0, 1, 8, 0]}}', '{"mode": "exact", "cuts": {"a": [0, 1, 8, 7]}}',
        '{"mode": "exact", "cuts": {"a": [0, 1, 8, 4, 1]}}', '{"mode": "exact", "cuts": {"a": [0, 1, 8, 4, 25]}}',
        '{"mode": "exact", "cuts": {"a": [0, 1, 8, 4, 8.0]}}', '{"mode": "exact", "cuts": {"a": [0, 1, 8, 4, null]}}',
        '{"mode": "exact", "cuts": {"a": [0, 1, 8, 4, 8, 8]}}', '{"mode": "exact", "cuts": []}',
        '{"mode": "exact", "cuts": {"a": [0, 1, 8, true]}}', '{"mode": "exact", "cuts": {}, "sign_zero": "both"}',
        '{"mode": "exact", "cuts": {}, "sign_zero": []}',
    ],
)  # fmt: skip
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a numerics record"):
        Numerics.from_text(text)
