"""Proves that a finished file gives the same bits on every runtime, from the constants in it and nothing else.

The method is translation validation (Pnueli et al. 1998) by abstract interpretation (Cousot, Cousot 1977); docs/numerics.md cites both.
Shares no code with the passes that make graphs exact: it judges what runs, not what was meant.
"""

from __future__ import annotations

from fdabnn_deploy.prove.prove import prove_forms
from fdabnn_deploy.prove.rows import Kind, Proof, Row

__all__ = ["Kind", "Proof", "Row", "prove_forms"]
