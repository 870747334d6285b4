"""A small layer followed under the emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from arm_layers.layers import LEVELS, ModelledLayer, compile_driver, follow, straight
from arm_root import library
from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.measure.profiles.static_model import (
    INNER_LOOPS,
    code_of_library,
    exported_functions,
    model_cycles,
    tool,
)
from fdabnn_deploy.runtimes.emulator import arm_root

pytestmark = pytest.mark.programs


@pytest.mark.long
def test_a_layer_executes_its_inner_loop_as_often_as_its_size_says(tmp_path: Path) -> None:
    try:
        tool("llvm-mca")
        arm_root.find()
    except RuntimeMissingError as error:
        pytest.skip(str(error))
    file = library.build()
    driver = compile_driver(tmp_path, file)
    layer = ModelledLayer(64, 4)
    code = dict(code_of_library(file))
    # 16 pixels, 64 channels: four whole units of a patch and a half one; 39 look-ups of five taps, three at a time.
    for loop, operation, times in zip(
        INNER_LOOPS, ("cnt", "tbl"), (16 * 64 * 4.5, 16 * 64 * 3 * 39 / 32), strict=True
    ):
        executed = [code[address] for address in follow(layer, loop.level, driver, file) if address in code]
        assert sum(text.split()[0] == operation for text in executed) == times
        core = LEVELS[loop.level][1][-1]
        assert 20 < layer.macs / model_cycles(straight(executed), core, 1) < 137
    assert set(exported_functions(file)) >= {loop.symbol for loop in INNER_LOOPS}
