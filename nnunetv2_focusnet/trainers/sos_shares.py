"""Never worse than the main network: how much each organ's SOS-Net counts, by what both did in validation."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nnunetv2_focusnet.architectures.focusnet import FocusNet, FocusNetOutput

SHARES = (1.0, 0.5, 0.0)  # of the SOS-Net, beside the main network; of equally good ones the first
NAMES = ("SOS-Net", "mean of both", "main network")
SHORTEST_WINDOW = 10  # epochs
DEAD_BELOW = 0.1  # DSC of a SOS-Net where the main network has more than twice as much


def count_voxels(network: FocusNet, seen: FocusNetOutput, labels: Tensor, counted: Tensor) -> Tensor:
    """What each organ would have overlapped with each share, and the volumes that the overlap is to be divided by.

    Args:
        network: whose organs these are.
        seen: what its parts said of a batch.
        labels: (B, Z, Y, X).
        counted: (B, K, Z, Y, X) or what broadcasts to it, voxels that count for an organ, bool.

    Returns:
        (len(SHARES), 2, K): voxels of both prediction and organ, and half the sum of their volumes.
    """
    organs = torch.tensor(network.config.small_organs, device=labels.device)[:, None, None, None]
    truth = (labels[:, None] == organs) & counted

    def count(share: float) -> Tensor:
        fused = network.fuse(seen, torch.full_like(network.sos_shares, share))
        finest = fused[0] if isinstance(fused, list) else fused
        predicted = (finest.argmax(1)[:, None] == organs) & counted
        overlap, organ, prediction = (mask.sum((0, 2, 3, 4)) for mask in (truth & predicted, truth, predicted))
        return torch.stack([overlap, (organ + prediction) / 2])

    return torch.stack([count(share) for share in SHARES])


def dice_by_share(counts: Sequence[np.ndarray], num_epochs: int) -> np.ndarray:
    """DSC with each share over the last tenth of the epochs, ten at least; NaN for organs that weren't there.

    The first half of the epochs never counts, in which SOS-Nets have just begun.

    Args:
        counts: of each epoch so far, (len(SHARES), 2, K).
        num_epochs: of the training.

    Returns:
        (len(SHARES), K).
    """
    window = min(max(SHORTEST_WINDOW, num_epochs // 10), math.ceil(len(counts) / 2))
    overlap, volume = np.sum(counts[-window:], 0).swapaxes(0, 1)
    return np.divide(overlap, volume, out=np.full(volume.shape, np.nan), where=volume > 0)


def best_shares(dice: np.ndarray) -> list[float]:
    """The share of each organ with which its DSC (len(SHARES), K) is highest; 1 for organs that weren't there."""
    return [SHARES[best] for best in np.nan_to_num(dice, nan=-1.0).argmax(0)]


def find_dead(dice: np.ndarray, organs: Sequence[str]) -> list[str]:
    """Organs whose SOS-Net answers next to nothing, though the main network segments them."""
    alone, main = dice[SHARES.index(1.0)], dice[SHARES.index(0.0)]
    return [organ for organ, sos, other in zip(organs, alone, main, strict=True) if sos < DEAD_BELOW < other / 2]
