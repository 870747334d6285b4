"""The same machine, measured directly and over ssh, shows the same times: nothing of the connection is in them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

import fdabnn_deploy
from fdabnn_deploy.measure.devices.sshd_testing import run_sshd
from fdabnn_deploy.measure.profile_report.compare import WHOLE, change_of
from fdabnn_deploy.measure.profile_report.texts import duration
from runtime_tests.conftest import SHIPPED

pytestmark = pytest.mark.programs

ROUNDS = 10


@pytest.mark.long
def test_this_machine_and_ssh_to_it_agree(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """ResNet-20, in turn, so that what else the machine does meets both alike."""
    pytest.importorskip("torch")
    fdabnn_deploy.export(SHIPPED[0], targets="tflite", out=tmp_path, samples="random:8")
    (model,) = tmp_path.glob("*.tflite")
    with run_sshd(tmp_path_factory.mktemp("sshd")) as server:
        samples: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for _ in range(ROUNDS):
            for device in ("local", server.address):
                found = fdabnn_deploy.profile(model, [device], ssh=server.options, runs=200, cpus="0")
                timing = found.devices[0].measurements[0].model
                samples[device][WHOLE] += timing.samples
                for layer in timing.layers:
                    samples[device][layer.name] += layer.samples
        here, there = samples["local"], samples[server.address]
    changes = [change_of("ssh", 1, name, here[name], there[name]) for name in here]
    for change in changes:
        print(
            f"{change.what}: local {duration(change.old)}, ssh {duration(change.new)}, noise {duration(change.noise)}"
        )
    assert here.keys() == there.keys()
    assert [change.what for change in changes if change.outcome != "same"] == []
