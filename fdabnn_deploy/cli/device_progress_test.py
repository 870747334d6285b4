from __future__ import annotations

import io

from rich.console import Console

from fdabnn_deploy.cli.device_progress import DeviceProgress


def shown(*, terminal: bool) -> str:
    stream = io.StringIO()
    with DeviceProgress(Console(file=stream, force_terminal=terminal, width=100)) as progress:
        progress.tell("ssh://pi@[::1]", "pushing libLiteRt.so (6.0 MB)")
        progress.tell("local", "self-test")
        progress.done("local", "")
        progress.done("ssh://pi@[::1]", "it is gone")
        progress.done("never heard of", "it was not even connected")
    return stream.getvalue()


def test_a_terminal_shows_a_line_per_device() -> None:
    text = shown(terminal=True)
    assert "ssh://pi@[::1]" in text
    assert "failed" in text
    assert "done" in text


def test_a_pipe_gets_nothing() -> None:
    assert shown(terminal=False) == ""
