from __future__ import annotations

import json
from importlib.metadata import version

from fdabnn_deploy.ir.model_info import SIGN_RULE, ModelInfo


def test_only_what_is_known_is_written() -> None:
    assert ModelInfo("net", (3, 32, 32)).metadata() == {
        "sign": SIGN_RULE,
        "fdabnn_deploy_version": version("fdabnn-deploy"),
    }


def test_lists_are_json_and_come_back_exactly() -> None:
    mean, std = (0.4914, 0.4822, 0.4465), (0.1 + 0.1, 1 / 3, 0.2010)
    info = ModelInfo("net", (3, 32, 32), mean, std, (-2.5, 0.1 + 0.2), ("cat", "Käfer"), "ab" * 32)
    entries = info.metadata()
    assert tuple(json.loads(entries["mean"])) == mean
    assert tuple(json.loads(entries["std"])) == std
    assert tuple(json.loads(entries["input_range"])) == (-2.5, 0.1 + 0.2)
    assert tuple(json.loads(entries["classes"])) == ("cat", "Käfer")
    assert entries["checkpoint_sha256"] == "ab" * 32
