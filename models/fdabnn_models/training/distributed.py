"""Data-parallel training in the few operations that this tool needs, with any torch.distributed backend.

Each rank computes its own share of every global batch. Gradients are averaged after the backward pass, so
parameters stay identical. Batch norm normalises by the statistics of the rank's own share; its running
averages are averaged over the ranks at the end of every epoch, before they are used for the first time, so
they are identical too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from fdabnn_deploy.errors import UsageError


@dataclass(frozen=True)
class Ranks:
    """Rank of this process, number of processes, and rank on this machine."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and reports."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum of ``values`` over all ranks, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over all ranks, with one reduction for all of them."""
        if self.world == 1:
            return
        kept = list(tensors)
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in kept])
        dist.all_reduce(flat)
        flat /= self.world
        offset = 0
        for tensor in kept:
            tensor.detach().copy_(flat[offset : offset + tensor.numel()].view(tensor.shape))
            offset += tensor.numel()

    def average_gradients(self, model: nn.Module) -> None:
        """Average the gradients of all parameters that have one."""
        self.average(p.grad for p in model.parameters() if p.grad is not None)

    def average_statistics(self, model: nn.Module) -> None:
        """Average the running statistics of batch norm."""
        self.average(b for name, b in model.named_buffers() if name.endswith(("running_mean", "running_var")))

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.world > 1:
            dist.barrier()


def join_ranks(device: str) -> Ranks:
    """Join the process group that ``torchrun`` describes in the environment; alone without it.

    Raises:
        UsageError: the backend for ``device`` is not available.
    """
    if "WORLD_SIZE" not in os.environ or "RANK" not in os.environ:
        return Ranks()
    ranks = Ranks(
        int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ.get("LOCAL_RANK", "0"))
    )
    if ranks.world > 1 and not dist.is_initialized():
        backend = "nccl" if device == "cuda" else "gloo"
        if not dist.is_backend_available(backend):
            raise UsageError(f"this PyTorch has no {backend} backend, which torchrun on {device} needs")
        dist.init_process_group(backend)
    return ranks


def leave_ranks() -> None:
    """Leave the process group, where there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
