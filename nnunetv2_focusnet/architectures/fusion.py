"""Fusion of the main network's logits with those of the small organs: exact, and free of hand-set scales.

With main logits z, the SOS logit s_k of each small organ k that was detected, and all other classes G, among them the
background and small organs that weren't detected:

    z'_j = z_j                                for j in G
    z'_k = logsumexp(z_j for j in G) + s_k    for all others

The fused logits z' give softmax(z')_k = exp(s_k) / (1 + sum_i exp(s_i)): for one organ the SOS probability
sigmoid(s_k) itself, while G's classes share the rest as the main network splits it, and overlapping ROIs compete as in
any softmax.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from nnunetv2_focusnet.architectures.rois import Rois


def own_probabilities(main_logits: Tensor, small: Sequence[int], rois: Rois) -> Tensor:
    """The main network's own probability of each small organ, in the organ's ROI.

    Args:
        main_logits: (B, C, Z, Y, X).
        small: the K channels of ``main_logits`` that the small organs have.
        rois: of the K organs, in the volume of ``main_logits``.

    Returns:
        (B, 1, N) in the type of ``main_logits``.
    """
    wide = torch.promote_types(main_logits.dtype, torch.float32)
    own = rois.gather_own(main_logits[:, list(small)]).to(wide)
    everything = rois.gather(main_logits).to(wide).logsumexp(1, keepdim=True)
    return (own - everything).exp().to(main_logits.dtype)


def fuse(main_logits: Tensor, organ_logits: Tensor, small: Sequence[int], detected: Tensor) -> Tensor:
    """Fused logits (B, C, Z, Y, X) in the type of ``main_logits``; finite for finite inputs.

    Args:
        main_logits: (B, C, Z, Y, X).
        organ_logits: (B, K, Z, Y, X), organ k's SOS logits, low outside its ROI.
        small: the K channels of ``main_logits`` that the small organs have.
        detected: (B, K) bool; where false the organ keeps the main network's own logits.
    """
    wide = torch.promote_types(main_logits.dtype, torch.float32)
    z = main_logits.to(wide)
    channels = torch.tensor(small, device=main_logits.device)
    detected = detected[:, :, None, None, None]
    replaced = torch.zeros_like(z[:, :, :1, :1, :1], dtype=torch.bool).index_copy(1, channels, detected)
    others = z.masked_fill(replaced, -math.inf).logsumexp(1, keepdim=True)
    limits = torch.finfo(main_logits.dtype)
    small_logits = (others + organ_logits.to(wide)).clamp(limits.min, limits.max)
    small_logits = torch.where(detected, small_logits, z[:, list(small)])
    return main_logits.index_copy(1, channels, small_logits.to(main_logits.dtype))
