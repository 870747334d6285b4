from __future__ import annotations

import pytest

from fdabnn_deploy.system.progress import Stage, Stages


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def start(self, name: str, detail: str) -> None:
        self.lines.append(f"start {name} {detail}")

    def done(self, stage: Stage) -> None:
        self.lines.append(f"done {stage.name} {stage.detail} {stage.bytes}")


def test_stages_are_told_and_kept() -> None:
    log = Log()
    stages = Stages(log)
    with stages.run("convert", "onnx") as stage:
        stage.detail, stage.bytes = "onnx: 5 operators", 100
    with Stages(None).run("alone"):
        pass
    assert log.lines == ["start convert onnx", "done convert onnx: 5 operators 100"]
    assert [(s.name, s.bytes) for s in stages.finished] == [("convert", 100)]
    assert stages.finished[0].seconds >= 0


def test_a_stage_that_fails_is_not_done() -> None:
    log = Log()
    stages = Stages(log)
    with pytest.raises(ValueError, match="no"), stages.run("passes"):
        raise ValueError("no")
    assert stages.finished == []
    assert log.lines == ["start passes "]
