"""The processes that train side by side: who this one is, and sums over all of them.

Which processes there are is said by torchrun's environment and set up by `join_ranks`; without it there is
one. Weights are not wrapped: every rank computes the gradient of its rows of the batch, the sum of these is
the gradient of the batch, and all ranks take the same step. That suits losses that call parts of a network
many times, which torch's DistributedDataParallel does not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn

from worldgen_core.device import choose_device
from worldgen_core.errors import CheckpointError, ConfigError
from worldgen_core.training.loop_settings import LoopSettings


def join_ranks(settings: LoopSettings, meeting_file: str | None) -> None:
    """Meet the other processes of this training: over nccl on CUDA, over gloo on the CPU.

    They meet by a file if there is one, else where torchrun says.
    Raises: ConfigError if torchrun started another number of them than the settings say.
    """
    from accelerate import PartialState  # takes a second to import, and most trainings are one process

    is_cpu, where = choose_device(settings.device).type != "cuda", {}
    if meeting_file is not None:
        own_rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        where = {"init_method": f"file://{meeting_file}", "rank": own_rank, "world_size": count}
    state = PartialState(cpu=is_cpu, **where)
    if state.num_processes != settings.num_processes:
        raise ConfigError(
            "loop.num_processes",
            expected=f"{settings.num_processes} processes on all machines together",
            found=f"{state.num_processes}, started by torchrun",
            next_step="start --nnodes times --nproc-per-node of them, or change the setting",
        )


def is_rank() -> bool:
    """Whether this process is one of several, even if it is the only one."""
    return dist.is_initialized()


def rank() -> int:
    """This process's number; 0 is the one that writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def num_ranks() -> int:
    """How many processes train side by side."""
    return dist.get_world_size() if dist.is_initialized() else 1


def add_over_ranks(weights: Sequence[nn.Parameter], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add up the gradients in place, and return the sums of `values` (scalars of the same names everywhere).

    A weight without a gradient on every rank stays without one.
    """
    if num_ranks() == 1:
        return dict(values)
    device, names = weights[0].device, list(values)
    has_gradient = torch.tensor([float(weight.grad is not None) for weight in weights], device=device)
    scalars = torch.stack([values[name].detach().float().to(device) for name in names])
    gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    flat = torch.cat([has_gradient, scalars, *(gradient.flatten() for gradient in gradients)])
    dist.all_reduce(flat)
    sizes = [weight.numel() for weight in weights]
    has_gradient, scalars, summed = flat.split([len(weights), len(names), sum(sizes)])
    for weight, own, has in zip(weights, summed.split(sizes), has_gradient.tolist(), strict=True):
        weight.grad = own.view_as(weight) if has else None
    return dict(zip(names, scalars.unbind(), strict=True))


def agree(train_step: int, state: Mapping[str, Tensor]) -> None:
    """Take over rank 0's weights and state bit by bit, once all ranks start from the same training step.

    Raises: CheckpointError if they do not.
    """
    if num_ranks() == 1:
        return
    device = next(iter(state.values())).device
    steps = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(num_ranks())]
    dist.all_gather(steps, torch.tensor([train_step], device=device))
    found = sorted({int(step) for step in steps})
    if len(found) > 1:
        raise CheckpointError(
            "checkpoints of the processes that train side by side",
            expected="the same training step everywhere",
            found=f"steps {', '.join(map(str, found))}",
            next_step="give every machine the same store (WORLDGEN_STORE), where the checkpoints are",
        )
    for name in sorted(state):
        dist.broadcast(state[name], src=0)
