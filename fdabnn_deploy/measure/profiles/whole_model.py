"""The file that is measured: the one that was exported, in one piece, which is what devices get."""

from __future__ import annotations

from pathlib import Path

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.system.files import write_whole
from fdabnn_deploy.targets.installed import for_suffix


def whole_model(path: Path, folder: Path, ignore_checksum: bool) -> Path:
    """The path of a file with the model in one piece: the given one where it is, else a new one of that name in `folder`.

    Args:
        path: of the model, which ends as the files of a target do.
        folder: made where it is needed.
        ignore_checksum: whether a checksum that does not fit is ignored.

    Raises:
        UsageError: the file, or one that belongs to it, cannot be read.
        ModelRefusedError: what belongs to it does not fit, or it has changed since it was exported.
    """
    target = for_suffix(path)
    assert target is not None
    content = target.read(path)
    whole = path
    if content != path.read_bytes():
        folder.mkdir(exist_ok=True)
        whole = folder / path.name
        write_whole(whole, content)
    # Whether it is of this project makes no difference to one that has changed.
    if not ignore_checksum and target.status(whole, {}) == "changed":
        raise ModelRefusedError(
            f"{path} has changed since it was exported, its checksum does not fit: copy or export it again, "
            "or give --ignore-checksum where a tool has rewritten it on purpose"
        )
    return whole
