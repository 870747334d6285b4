from __future__ import annotations

import platform

from fdabnn_deploy.system import environment


def test_the_processor_has_a_name() -> None:
    assert environment.cpu_name()
    assert "(R)" not in environment.cpu_name()


def test_this_machine() -> None:
    here = environment.environment()
    assert here.python == platform.python_version()
    assert here.cpu == environment.cpu_name()
    assert {"fdabnn-deploy", "numpy", "onnxruntime"} <= set(here.packages)
