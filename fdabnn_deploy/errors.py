"""Exceptions that carry the exit code of the command line tools.

Every error a user can cause is one of these: its text names the thing, the reason and the remedy, and the tools print it without a
traceback. Anything else that escapes is a bug of ours and exits with 1.

| code | meaning                          | class                  |
|------|----------------------------------|------------------------|
| 0    | verified                         |                        |
| 1    | our bug                          | any other exception    |
| 2    | wrong usage                      | `UsageError`           |
| 3    | model refused                    | `ModelRefusedError`    |
| 4    | parity or gate failed            | `ParityError`          |
| 5    | slower than before               | `SlowerError`          |
| 6    | device or runtime missing        | `RuntimeMissingError`  |
| 6    | a result could not be written    | `NotWrittenError`      |
"""

from __future__ import annotations

from typing import ClassVar


class FdabnnError(Exception):
    """Base of all errors with a message meant for the user."""

    exit_code: ClassVar[int] = 1


class UsageError(FdabnnError):
    """The command or call itself is wrong: unknown option value, missing file, contradicting arguments."""

    exit_code = 2


class ModelRefusedError(FdabnnError):
    """The checkpoint or network cannot be deployed as it is: damaged, unsafe, not binary, or not supported."""

    exit_code = 3


class ParityError(FdabnnError):
    """An exported model does not compute what its source computes."""

    exit_code = 4


class SlowerError(FdabnnError):
    """A measured latency is worse than the recorded one beyond noise."""

    exit_code = 5


class RuntimeMissingError(FdabnnError):
    """A runtime, library or device that the command needs is not present."""

    exit_code = 6


class NotWrittenError(FdabnnError):
    """A result could not be written after the work was done: a full disk, a pipe that nobody reads. What was written before stays."""

    exit_code = 6
