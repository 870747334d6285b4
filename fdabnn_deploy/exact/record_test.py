from __future__ import annotations

from dataclasses import replace

import pytest

from fdabnn_deploy.exact.record import Cut, Numerics

RECORD = Numerics("exact", {"conv1/conv2d": Cut(-2.5, 2.5, 8), "linear/linear": Cut(0.0, 1 / 3, None, 3)})


def test_text_gives_the_record_again() -> None:
    text = RECORD.to_text()
    assert "\n" not in text
    assert Numerics.from_text(text) == RECORD
    assert list(Numerics.from_text(text).cuts) == ["conv1/conv2d", "linear/linear"]


def test_what_zeros_count_as_is_recorded_unless_it_is_the_default() -> None:
    assert "sign_zero" not in RECORD.to_text()
    exact = replace(RECORD, sign_zero="exact")
    assert Numerics.from_text(exact.to_text()) == exact


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"mode": "exact"}', '{"mode": "nearly", "cuts": {}}', '{"mode": "exact", "cuts": {"a": [1]}}',
        '{"mode": "exact", "cuts": {"a": [1, 0, 8, 1]}}', '{"mode": "exact", "cuts": {"a": [0, 1, 8.5, 1]}}',
        '{"mode": "exact", "cuts": {"a": [0, 1, 8, 4]}}', '{"mode": "exact", "cuts": []}',
        '{"mode": "exact", "cuts": {"a": [0, 1, 8, true]}}', '{"mode": "exact", "cuts": {}, "sign_zero": "both"}',
        '{"mode": "exact", "cuts": {}, "sign_zero": []}',
    ],
)  # fmt: skip
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a numerics record"):
        Numerics.from_text(text)
