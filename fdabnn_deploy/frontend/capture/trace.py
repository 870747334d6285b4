"""Tracing a module with `torch.export`, one at a time, and the outputs that are worth deploying."""

from __future__ import annotations

import io
import logging
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.export.graph_signature import OutputKind, TensorArgument

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture.containers import contained_tensors, kept_tensors
from fdabnn_deploy.frontend.capture.eager_run import Read, module_names, rehearse
from fdabnn_deploy.frontend.capture.explain import (
    explain,
    refuse_chance,
    refuse_counters,
    refuse_reads,
    refuse_registered,
    refuse_rehearsal,
)
from fdabnn_deploy.frontend.capture.python_reads import deciding_counters, deciding_reads, depends_on_chance
from fdabnn_deploy.frontend.capture.python_values import python_values
from fdabnn_deploy.frontend.capture.traced_value import CAPTURE_BATCH, writes

TRACING = threading.RLock()
"""`torch.export` keeps its state in the process, and so do `warnings` and `logging`: two threads trace one after the other."""

_MUTATED = re.compile(r"Constant ([\w.]+) is mutated in the forward method")
_MOST_ATTRIBUTES = 256


@dataclass(frozen=True)
class Traced:
    """A traced module.

    Attributes:
        program: free of mutations.
        outputs: the module's outputs in their order (those in tuples, lists and dicts one by one): a node, or what the output is
            where it is no tensor.
    """

    program: torch.export.ExportedProgram
    outputs: tuple[Any, ...]


def trace(module: torch.nn.Module, input_shape: Sequence[int]) -> Traced:
    """Traces an eval-mode module.

    Tensors that forward() changes in place and that are plain attributes, such as counters, or in lists, are made buffers that are not
    saved; `torch.export` would not take them otherwise. A module that registers parameters or buffers at its first call is called once.

    Raises:
        ModelRefusedError: the module is in training mode, or cannot be traced: the message names the module, the line and the remedy.
    """
    training = next((name for name, child in module.named_modules() if child.training), None)
    if training is not None:
        raise ModelRefusedError(
            f"module '{training or 'model'}' is in training mode; call model.eval() first"
        )
    example = torch.zeros(CAPTURE_BATCH, *input_shape)
    shape = tuple(example.shape)
    with TRACING, _quiet():
        found = rehearse(module, example)
        refuse_rehearsal(found, shape)
        refuse_registered(found)
        if found.registered:
            # A file computes every call but the first, which may make tensors that later ones find ready.
            with torch.no_grad():
                module(example.clone())
            found = rehearse(module, example)
            refuse_rehearsal(found, shape)
        export = partial(_export, module, example)
        try:
            program = export(found.reads)
        except Exception as error:
            raise explain(module, found, shape, error) from error
        refuse_reads(found, deciding_reads(found, program, export, module_names(module)))
        refuse_chance(found.draws and depends_on_chance(program, partial(export, found.reads)))
        refuse_counters(deciding_counters(found, program, partial(export, found.reads), module))
    return Traced(program, tuple(_outputs(program)))


def _export(
    module: torch.nn.Module, example: torch.Tensor, reads: Sequence[Read], guess: float | None = None
) -> torch.export.ExportedProgram:
    for _ in range(_MOST_ATTRIBUTES):
        try:
            with torch.no_grad(), python_values(module, reads, guess):
                program = torch.export.export(module, (example,), strict=False)
            return _without_writes(program) if any(map(writes, program.graph.nodes)) else program
        except RuntimeError as error:
            found = _MUTATED.search(str(error))
            if found is None or not (_make_buffer(module, found[1]) or _make_buffers_of_contained(module)):
                raise
    raise RuntimeError(f"forward() changes more than {_MOST_ATTRIBUTES} tensor attributes in place")


def _without_writes(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """A program that computes new tensors instead; nothing is left that nothing reads, as in the module that PyTorch makes of it."""
    program = program.run_decompositions({})
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()
    return program


def _make_buffer(module: torch.nn.Module, path: str) -> bool:
    """Makes a plain tensor attribute a buffer; False where the path is none."""
    parent, _, name = path.rpartition(".")
    owner = dict(module.named_modules()).get(parent)
    value = None if owner is None else vars(owner).get(name)
    if owner is None or not isinstance(value, torch.Tensor):
        return False
    delattr(owner, name)
    owner.register_buffer(name, value.detach(), persistent=False)
    return True


def _make_buffers_of_contained(module: torch.nn.Module) -> bool:
    """Makes tensors in lists and dicts buffers as well; False where there is none that is not."""
    known = set(map(id, kept_tensors(module).values()))
    before = len(known)
    for owner, name, tensor in list(contained_tensors(module)):
        if id(tensor) not in known:
            known.add(id(tensor))
            free = next(free for count in range(256) if not hasattr(owner, free := name + "_" * count))
            owner.register_buffer(free, tensor, persistent=False)
    return len(known) > before


def _outputs(program: torch.export.ExportedProgram) -> Iterator[Any]:
    returned = next(node for node in program.graph.nodes if node.op == "output").args[0]
    assert isinstance(returned, tuple | list)
    for item, spec in zip(returned, program.graph_signature.output_specs, strict=True):
        if spec.kind is OutputKind.USER_OUTPUT:
            yield item if isinstance(spec.arg, TensorArgument) else getattr(spec.arg, "value", None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Tracing warns and logs about its own inner workings; what matters arrives as an exception."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        # On a branch it cannot follow it prints the whole program.
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
