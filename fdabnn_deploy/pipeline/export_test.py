from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.pipeline.export import export

pytestmark = pytest.mark.runtimes

NETWORK = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()).eval()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"allow_change": "no"}, "allow_change is True or False, not 'no'"),
        ({"allow_change": 1}, "allow_change is True or False, not 1"),
        ({"allow_change": None}, "allow_change is True or False, not None"),
        ({"allow_float": None}, "allow_float is a text or several.*not None"),
        ({"allow_float": [3]}, r"allow_float is a text or several.*not \[3\]"),
        ({"allow_float": True}, "allow_float is a text or several.*not True"),
        ({"targets": None}, "targets is a text or several.*not None"),
        ({"targets": [3]}, r"targets is a text or several.*not \[3\]"),
        ({"drop_noise": "no"}, "drop_noise is True or False, not 'no'"),
        ({"numerics": True}, "numerics is 'exact' or 'float', not True"),
        ({"batch": True}, "batch is a positive number"),
        *(
            ({"name": name}, "the name .* is not that of a file: choose another with --name")
            for name in ("", ".", "..", "a/b", "/a", "a/", "../a", "a\0b", 3)
        ),
    ],
)
def test_arguments_of_another_type_are_refused_by_name(
    argument: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        export(NETWORK, torch.zeros(1, 3, 8, 8), out=tmp_path / "out", **argument)
    assert not (tmp_path / "out").exists()
