"""The prover's entry point."""

from __future__ import annotations

from collections.abc import Iterable

from fdabnn_deploy.prove.program import Program
from fdabnn_deploy.prove.rows import Proof
from fdabnn_deploy.prove.walk import prove


def prove_forms(forms: Iterable[tuple[str, Program]]) -> dict[str, Proof]:
    """Judges every form that a runtime gives a file.

    Args:
        forms: their names and contents, as the reader of a target yields them (`fdabnn_deploy.targets.target.Target.reader`).

    Returns:
        One proof per form. A file of which the reader found no form is not proved: it has one that says so.
    """
    found = {form: prove(program) for form, program in forms}
    return found or {"": Proof((), ("the file: its reader found nothing in it that could be judged",))}
