"""The samples that were used, for reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SampleSet:
    """The inputs that everything was verified on; `notes` say what is to be known of them, and what could not be taken instead."""

    description: str
    argument: str
    images: int
    labelled: bool
    synthetic: bool
    notes: tuple[str, ...] = ()
