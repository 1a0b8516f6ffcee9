"""Several processes that train one network together, as ``torchrun`` starts them; one process alone is rank 0 of 1."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import torch
import torch.distributed.nn  # noqa: F401  # the defaults of its functions would hold on to a group that exists by then, and its threads
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


@contextlib.contextmanager
def joined(device: str) -> Iterator[str]:
    """Join the processes that ``torchrun`` started, if it did; yield this process's own device.

    Parameters
    ----------
    device : str
        ``"cuda"`` becomes the GPU of this process; anything else is left as it is and talks through gloo.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def rank() -> int:
    """Number of this process; only rank 0 writes."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def shared(network: nn.Module) -> nn.Module:
    """The network, with gradients that are averaged over all ranks, and with the weights of rank 0 to begin with."""
    return DistributedDataParallel(network) if distributed.is_initialized() else network


def mean_over_ranks(value: Tensor) -> Tensor:
    """Mean of a number that each rank has; NaN for all if it is for one."""
    value = value.detach().clone()
    if distributed.is_initialized():
        distributed.all_reduce(value)
        value /= distributed.get_world_size()
    return value


def rank_zero_says(flag: bool) -> bool:
    """What rank 0 thinks, so that all stop at the same step."""
    if not distributed.is_initialized():
        return flag
    opinion = torch.tensor(int(flag), device="cuda" if distributed.get_backend() == "nccl" else "cpu")
    distributed.broadcast(opinion, 0)
    return bool(opinion)
