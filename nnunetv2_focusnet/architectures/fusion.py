"""Fusion of the main network's logits with those of the small organs: exact, and free of hand-set scales.

With main logits z, the SOS logit s_k of each small organ k that was detected, and all other classes G, among them the
background and small organs that weren't detected:

    z'_j = z_j                                for j in G
    z'_k = logsumexp(z_j for j in G) + s_k    for all others, inside their ROIs; low outside

The fused logits z' give softmax(z')_k = exp(s_k) / (1 + sum_i exp(s_i)): for one organ the SOS probability
sigmoid(s_k) itself, while G's classes share the rest as the main network splits it, and overlapping ROIs compete as in
any softmax.

An organ that its SOS-Net segments no better than the main network does keeps a share of the latter's answer: s_k is
then a mean of the SOS logit and of the main network's own log-odds.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from nnunetv2_focusnet.architectures.blocks import constant
from nnunetv2_focusnet.architectures.rois import Rois

SLICES_AT_ONCE = 16
FINITE_LOG_ODDS = 1e4  # in a mean, however large logits are


def own_log_odds(main_logits: Tensor, small: Sequence[int], rois: Rois) -> Tensor:
    """The main network's own log-odds of each small organ against all other classes, in the organ's ROI.

    Args:
        main_logits: (B, C, Z, Y, X).
        small: the K channels of ``main_logits`` that the small organs have.
        rois: of the K organs, in the volume of ``main_logits``.

    Returns:
        (B, 1, N) in the type of ``main_logits``.
    """
    wide = torch.promote_types(main_logits.dtype, torch.float32)
    return _log_odds(rois.gather(main_logits).to(wide), small, rois)[:, None].to(main_logits.dtype)


def mixed_log_odds(z: Tensor, roi_logits: Tensor, rois: Rois, small: Sequence[int], shares: Tensor) -> Tensor:
    """A mean of the SOS-Nets' log-odds and the main network's own, in the organs' ROIs, (B, N) in float32 at least.

    Args:
        z: the main network's logits there, (B, C, N).
        roi_logits: (B, N), the SOS logits of all organs' ROIs.
        rois: where these ROIs lie.
        small: the K channels of ``z`` that the small organs have.
        shares: (K,), how much the SOS logits count.
    """
    wide = torch.promote_types(z.dtype, torch.float32)
    main, sos = (
        x.clamp(-FINITE_LOG_ODDS, FINITE_LOG_ODDS) for x in (_log_odds(z.to(wide), small, rois), roi_logits.to(wide))
    )
    return torch.lerp(main, sos, rois.spread(shares[None].to(wide)))


def _log_odds(z: Tensor, small: Sequence[int], rois: Rois) -> Tensor:
    """(B, N) of logits (B, C, N) in the ROIs."""
    channel = rois.spread(constant(small, z.device)[None]).expand(len(z), -1)[:, None]
    others = z.scatter(1, channel, -math.inf).logsumexp(1, keepdim=True)
    return (z.gather(1, channel) - others)[:, 0]


def fuse_(
    main_logits: Tensor,
    roi_logits: Tensor,
    rois: Rois,
    small: Sequence[int],
    detected: Tensor,
    shares: Tensor,
    outside: float,
) -> Tensor:
    """Turn the main network's logits into fused ones, in place; they are finite for finite inputs.

    Logits of a whole image fill much of the memory, so nothing here is as large as they are.

    Args:
        main_logits: (B, C, Z, Y, X), contiguous.
        roi_logits: (B, N), the SOS logits of all organs' ROIs.
        rois: where these ROIs lie.
        small: the K channels of ``main_logits`` that the small organs have.
        detected: (B, K) bool; where false the organ keeps the main network's own logits.
        shares: (K,), how much the SOS logit counts beside the main network's own log-odds, 1: it alone; 0 is the same
            as not detected.
        outside: SOS logit of a detected organ outside its ROI, which is low: compared with the likeliest large organ
            there, not with all of G together, which takes less time and memory than anything else that is done here.

    Returns:
        ``main_logits``.
    """
    detected = detected & (shares > 0)
    in_rois = _fused_in_rois(main_logits, roi_logits, rois, small, detected, shares)[0]
    channels = constant(small, main_logits.device)
    large = [channel for channel in range(main_logits.shape[1]) if channel not in small]
    shown = detected[:, :, None, None, None]
    for start in range(0, main_logits.shape[2], SLICES_AT_ONCE):
        slices = main_logits[:, :, start : start + SLICES_AT_ONCE]
        likeliest = slices.index_select(1, constant(large, slices.device)).amax(1, keepdim=True)
        own = slices.index_select(1, channels)
        slices.index_copy_(1, channels, torch.where(shown, likeliest + outside, own))
    return rois.paste_(in_rois.to(main_logits.dtype), main_logits, small)


def likelier_in_rois(
    main_logits: Tensor, roi_logits: Tensor, rois: Rois, small: Sequence[int], detected: Tensor, shares: Tensor
) -> Tensor:
    """Where a detected organ is likelier than each class that isn't replaced, in its own ROI, (B, N) bool.

    That is what fusion makes of an organ whose ROI no other one overlaps.

    Args:
        main_logits: (B, C, Z, Y, X).
        roi_logits: (B, N).
        rois: where these ROIs lie.
        small: the K channels of the small organs.
        detected: (B, K) bool.
        shares: (K,).
    """
    in_rois, others = _fused_in_rois(main_logits, roi_logits, rois, small, detected, shares)
    return in_rois > others.amax(1)


def _fused_in_rois(
    main_logits: Tensor, roi_logits: Tensor, rois: Rois, small: Sequence[int], detected: Tensor, shares: Tensor
) -> tuple[Tensor, Tensor]:
    """What each organ's channel gets in its own ROI, (B, N), in float32 at least, and what the others have there.

    Others are all channels, (B, C, N), with those that are replaced at minus infinity.
    """
    wide = torch.promote_types(main_logits.dtype, torch.float32)
    channels = constant(small, main_logits.device)
    z = rois.gather(main_logits).to(wide)
    replaced = torch.zeros_like(z[:, :, :1], dtype=torch.bool).index_copy(1, channels, detected[:, :, None])
    others = z.masked_fill(replaced, -math.inf)
    own = rois.gather_own(main_logits, small)[:, 0].to(wide)
    limits = torch.finfo(main_logits.dtype)
    mixed = mixed_log_odds(z, roi_logits, rois, small, shares)
    sos = (others.logsumexp(1) + mixed).clamp(limits.min, limits.max)
    return torch.where(rois.spread(detected), sos, own), others
