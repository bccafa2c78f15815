"""The better of SOS-Net and main network: how much each organ's SOS-Net counts, by what both did in validation."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from nnunetv2_focusnet.architectures.blocks import constant
from nnunetv2_focusnet.architectures.focusnet import FocusNet, FocusNetOutput
from nnunetv2_focusnet.architectures.fusion import likelier_in_rois
from nnunetv2_focusnet.architectures.main_network import finest
from nnunetv2_focusnet.losses.targets import count_classes

SHARES = (1.0, 0.5, 0.0)  # of the SOS-Net, beside the main network; of equally good ones the first
NAMES = ("SOS-Net", "mean of both", "main network")
SHORTEST_WINDOW = 10  # epochs
DEAD_BELOW = 0.1  # DSC of a SOS-Net where the main network has more than twice as much


def count_voxels(
    network: FocusNet, seen: FocusNetOutput, labels: Tensor, valid: Tensor, annotated: Tensor | None = None
) -> Tensor:
    """What each organ would have overlapped with each share, and the volumes that the overlap is to be divided by.

    Small organs don't compete here, neither in ROIs that overlap nor for voxels that the main network gave another one:
    fusing with each share would take several times as long.

    Args:
        network: whose organs these are.
        seen: what its parts said of a batch.
        labels: (B, Z, Y, X).
        valid: (B, Z, Y, X) bool, voxels that count.
        annotated: (B, K) bool, organs that count in each sample; None: all.

    Returns:
        (len(SHARES), 2, K): voxels of both prediction and organ, and half the sum of their volumes.
    """
    main = finest(seen.main_logits)
    small, rois, roi_logits = list(network.config.small_organs), seen.rois, seen.roi_logits
    assert rois is not None
    assert roi_logits is not None
    counted = torch.where(valid, labels, -1)
    channels = constant(small, labels.device)

    def count(found: Tensor) -> Tensor:
        return count_classes(found, main.shape[1]).index_select(1, channels)

    by_main = torch.where(valid, main.argmax(1), -1)
    of_main = torch.stack([count(torch.where(by_main == counted, counted, -1)), count(by_main)])
    detected = network.detected(seen)
    there = rois.gather(counted[:, None])[:, 0]
    is_organ = there == rois.spread(channels[None])

    def count_with(share: float) -> Tensor:
        if share == 0:
            return of_main
        shares = torch.full_like(network.sos_shares, share)
        predicted = likelier_in_rois(main, roi_logits, rois, small, detected, shares) & (there >= 0)
        in_rois = torch.stack([predicted & is_organ, predicted]).split(rois.voxels, 2)
        return torch.where(detected, torch.stack([roi.sum(2) for roi in in_rois], 2), of_main)

    overlap, volume = torch.stack([count_with(share) for share in SHARES], 1)
    counts = torch.stack([overlap, (count(counted) + volume) / 2], 1)
    return (counts if annotated is None else counts * annotated).sum(2)


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
    return dice_of(np.sum(counts[-window:], 0))


def dice_of(counts: np.ndarray) -> np.ndarray:
    """DSC with each share, (len(SHARES), K), of counts (len(SHARES), 2, K); NaN where there was nothing to overlap."""
    overlap, volume = counts.swapaxes(0, 1)
    return np.divide(overlap, volume, out=np.full(volume.shape, np.nan), where=volume > 0)


def best_shares(dice: np.ndarray) -> list[float]:
    """The share of each organ with which its DSC (len(SHARES), K) is highest, of equally good ones the first, 1.

    NaN is no voxel of an organ that wasn't there, and better than any.
    """
    return [SHARES[best] for best in np.nan_to_num(dice, nan=2.0).argmax(0)]


def find_dead(dice: np.ndarray, organs: Sequence[str]) -> list[str]:
    """Organs whose SOS-Net answers next to nothing, though the main network segments them."""
    alone, main = dice[SHARES.index(1.0)], dice[SHARES.index(0.0)]
    return [organ for organ, sos, other in zip(organs, alone, main, strict=True) if sos < DEAD_BELOW < other / 2]
