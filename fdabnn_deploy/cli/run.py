"""How the command line tools run and end: one line per error, exit codes.

Modules that print are loaded where something is printed, so that `--help` is there at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence

import click

from fdabnn_deploy.cli.signals import Stopped, stopped_by_signals
from fdabnn_deploy.errors import FdabnnError, UsageError

INTERRUPTED = 130
_BUG = 1


def quiet_libraries() -> None:
    """Keeps the start-up notes and warnings of PyTorch, TensorFlow and ONNX out of the output."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)


def run_command(command: click.Command, name: str, args: Sequence[str] | None) -> int:
    """Runs a click command; every way it can end becomes an exit code and at most one message.

    | code | after                                             |
    |------|---------------------------------------------------|
    | 0    | success, `--help`, `--version`                    |
    | 2    | a usage error, click's own included               |
    | 1    | an exception that is none of ours: a bug          |
    | 130  | Ctrl-C                                            |
    | 143  | SIGTERM                                           |
    | 129  | SIGHUP                                            |
    | else | `FdabnnError.exit_code`                           |
    """
    arguments = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in arguments
    quiet_libraries()
    try:
        # Not command.main: it would end the process by itself when the reader of a pipe goes away.
        with stopped_by_signals(), command.make_context(name, arguments) as context:
            command.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        message = " ".join(error.format_message().split())
        return _fail(f"{name}: {message} (see {name} --help)", UsageError.exit_code)
    except Stopped as error:
        return _fail(f"{name}: stopped by {signal.Signals(error.number).name}", 128 + error.number)
    except (click.Abort, KeyboardInterrupt):
        return _fail(f"{name}: stopped", INTERRUPTED)
    except FdabnnError as error:
        if debug:
            _print_error(traceback.format_exc())
        return _fail(f"{name}: {error}", error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  (the last resort: whatever it is, the user gets no traceback)
        if debug:
            _print_error(traceback.format_exc())
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        advice = (
            "please report it with the traceback above"
            if debug
            else "add --debug and please report the traceback"
        )
        return _fail(f"{name}: this is a bug in {name}, not a mistake of yours: {reason}; {advice}", _BUG)
    return 0


def _fail(message: str, code: int) -> int:
    from fdabnn_deploy.cli.escaping import escape_text

    # The terminal may be gone, which is one of the reasons to end.
    with contextlib.suppress(OSError):
        _print_error(escape_text(message), "red")
    return code


def _print_error(text: str, style: str = "") -> None:
    from rich.text import Text

    from fdabnn_deploy.cli.console import make_console

    make_console(stderr=True).print(Text(text, style), soft_wrap=True)
