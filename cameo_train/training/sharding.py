"""FSDP: parameters, gradients and optimiser state cut into one part per rank.

torch's own ``fully_shard``, since accelerate's wrapper knows GPUs only and this runs on any device
that has collectives, CPUs included. What is saved is whole tensors by name, so a checkpoint loads
on any number of ranks, sharded or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from cameo_train.training.objective import Objective

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
_LOW = {"bf16": torch.bfloat16, "fp16": torch.float16}


def shard(objective: Objective, mixed_precision: str) -> None:
    """Cuts a model over all ranks, in place; before its optimiser is made.

    The blocks that gradient checkpointing computes again are gathered one at a time, in the type
    they compute in; gradients are summed in float32.
    """
    device = next(objective.parameters()).device.type
    mesh = init_device_mesh(device, (torch.distributed.get_world_size(),))
    policy = MixedPrecisionPolicy(
        param_dtype=_LOW.get(mixed_precision), reduce_dtype=torch.float32, cast_forward_inputs=False
    )
    for block in objective.model.checkpointed():
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(objective, mesh=mesh)


@contextmanager
def readable(objective: nn.Module) -> Iterator[None]:
    """Inside, parts of a sharded model can be called by themselves, by all ranks alike."""
    if not isinstance(objective, FSDPModule):
        yield
        return
    objective.unshard()
    try:
        yield
    finally:
        # or the next step would compute with what is gathered now
        for module in objective.modules():
            if isinstance(module, FSDPModule):
                module.reshard()


def whole(tensor: Tensor) -> Tensor:
    """The tensor of all ranks together; every rank must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def copy_whole_(into: Tensor, value: Tensor) -> None:
    """Copies a whole tensor into one that may be cut."""
    value = value.to(into.device)
    if isinstance(into, DTensor):
        # all ranks hold the same value: nothing is sent
        value = distribute_tensor(value, into.device_mesh, into.placements, src_data_rank=None)
    into.copy_(value)


def weights(objective: nn.Module) -> Mapping[str, Tensor]:
    """Whole parameters and buffers by name, on the CPU; every rank must ask, rank 0 gets them."""
    found: Mapping[str, Any] = get_model_state_dict(objective, options=_WHOLE)
    return found


def load_weights(objective: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Takes over whole weights, the same on all ranks."""
    options = StateDictOptions(full_state_dict=isinstance(objective, FSDPModule))
    set_model_state_dict(objective, dict(values), options=options)


def optimizer_state(objective: nn.Module, optimizer: torch.optim.Optimizer) -> Mapping[str, Any]:
    """Whole state by names of parameters, as ``weights``; empty before the first step."""
    if not optimizer.state:
        return {}
    return get_optimizer_state_dict(objective, optimizer, options=_WHOLE)


def load_optimizer_state(
    objective: nn.Module, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> None:
    """Takes over a whole state, the same on all ranks."""
    if state:
        options = StateDictOptions(full_state_dict=isinstance(objective, FSDPModule))
        set_optimizer_state_dict(objective, optimizer, dict(state), options=options)
