"""Losses of a batch that several processes share, each on a GPU of its own: those that one process would have."""

from nnunetv2.utilities.ddp_allgather import AllGatherGrad
from torch import Tensor, distributed


def add_up_processes(sums: Tensor) -> Tensor:
    """What the processes have summed up over their samples becomes the sum over the whole batch, in each of them alike.

    A loss that is made of such sums has the gradient that it would have in one process: each process's is multiplied by
    their number, and DDP divides by it. Every process has to call this equally often.
    """
    if not distributed.is_available() or not distributed.is_initialized():
        return sums
    return AllGatherGrad.apply(sums).sum(0)
