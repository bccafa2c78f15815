"""The losses: focal (eq. 1), Dice (eq. 2), cross-entropy, heat maps, ROIs. All of them mask the ignore label.

Where several processes share a batch, each gets the loss of the whole batch.

Shapes: labels (B, Z, Y, X); ``valid`` is bool, false where a voxel carries the ignore label. ``annotated`` is bool,
false where nobody has contoured the organ in the sample: its voxels, wherever they are, are labelled as background.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from nnunetv2_focusnet.losses.processes import add_up_processes

GAMMA = 2.0
_EPS = 1e-5


def merge_unannotated(log_probabilities: Tensor, annotated: Tensor) -> Tensor:
    """Log-probabilities of what a sample's labels can tell apart: unannotated organs are part of its background.

    With the probabilities p and the sample's unannotated organs U,

        q_0 = p_0 + sum(p_k for k in U),    q_k = 0 for k in U,    q_j = p_j for all others

    (marginal loss). Whatever loss reads q, moving probability between the background and an unannotated organ doesn't
    change it: the gradient trains their sum, and never how they share it.

    Args:
        log_probabilities: log p, (B, C, Z, Y, X), background first.
        annotated: (B, C), true for the background.

    Returns:
        log q, (B, C, Z, Y, X), minus infinity where q is 0.
    """
    own = annotated.clone()  # organs that keep their probability to themselves
    own[:, 0] = False
    own = own[:, :, None, None, None]
    background = log_probabilities.masked_fill(own, -math.inf).logsumexp(1, keepdim=True)
    return torch.cat([background, log_probabilities.masked_fill(~own, -math.inf)[:, 1:]], 1)


def of_own_class(values: Tensor, labels: Tensor) -> Tensor:
    """What (B, C, Z, Y, X) holds for each voxel's own class, as labels have it: (B, Z, Y, X)."""
    return values.gather(1, labels[:, None])[:, 0]


def focal_loss(
    own_log_probability: Tensor, labels: Tensor, valid: Tensor | None, weights: Tensor, gamma: float = GAMMA
) -> Tensor:
    """Weighted focal loss, eq. 1: mean of -alpha (1 - p)^gamma log p of each voxel's own class, weighted by alpha.

    Divided by the sum of the voxels' alphas, so that neither the scale of the weights nor the organs that happen to
    be in a patch change the loss's size. A background voxel has the background's alpha, also where it is a voxel of an
    organ that isn't annotated: nobody knows which ones are.

    Args:
        own_log_probability: log p of each voxel's own class, (B, Z, Y, X).
        labels: class of each voxel.
        valid: voxels that count; None: all.
        weights: alpha of each class, (C,).
        gamma: 0 makes it cross-entropy, what the paper's table 2 begins with.
    """
    log_p = own_log_probability
    alpha = _where_valid(weights[labels], valid)
    loss = -alpha * (1 - log_p.exp()) ** gamma * log_p
    return _divide_sums(loss, alpha)


def dice_loss(probabilities: Tensor, own_probability: Tensor, labels: Tensor, valid: Tensor | None) -> Tensor:
    """Generalised Dice loss, eq. 2: sum over classes of 1 - 2 sum(y p) / (sum(y) + sum(p)), sums over the batch.

    Only classes that are there count. Eq. 2 has no constant that smooths it, so without an overlap the term of a class
    is 1 whatever is predicted, and has no gradient. False positives of an absent class cost the true class its own
    term, and focal loss.

    Where a sample doesn't have a class annotated, :func:`merge_unannotated` has moved its probability to the
    background: the class's three sums are those of the samples that have it annotated, and the background's hold the
    rest of the batch.

    Args:
        probabilities: (B, C, Z, Y, X).
        own_probability: that of each voxel's own class, (B, Z, Y, X).
        labels: class of each voxel.
        valid: voxels that count; None: all, for which probabilities needn't be copied.
    """
    # Slice by slice: one sum over all voxels would run out of single precision's digits in large patches.
    slices = labels.flatten(0, 1).flatten(1)
    zeros = probabilities.new_zeros(len(slices), probabilities.shape[1])

    def per_class(values: Tensor) -> Tensor:
        return zeros.scatter_add(1, slices, values.reshape(slices.shape)).sum(0)

    sums = [
        per_class(_where_valid(own_probability, valid)),
        per_class(_where_valid(torch.ones_like(own_probability), valid)),
        _where_valid(probabilities.movedim(1, 0), valid).sum((1, 2, 3, 4)),
    ]
    overlap, present, predicted = add_up_processes(torch.stack(sums))
    dice = 2 * overlap / (present + predicted).clamp(min=_EPS)
    return ((1 - dice) * (present > 0)).sum()


def heat_map_losses(
    heat_logits: Tensor,
    heat_maps: Tensor,
    visible: Tensor,
    valid: Tensor,
    sigmas: Tensor,
    annotated: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Two losses of the heat maps: squared error (paper sec. 2) and where the peak is.

    The squared error is divided by the target's mass, sum(h^2) of a whole Gaussian, instead of the volume: under a
    voxel mean a tiny target's map may as well stay empty. The second term, the Kullback-Leibler divergence between
    both maps as distributions over the voxels, pulls the peak into place from anywhere; it counts for visible organs.
    Both are smallest where the map is the target, and both are means over the maps that count: those of annotated and
    of visible organs.

    Args:
        heat_logits: (B, K, Z, Y, X).
        heat_maps: targets (B, K, Z, Y, X) of visible organs.
        visible: (B, K) bool.
        valid: voxels that count, (B, Z, Y, X).
        sigmas: (K, 3) in voxels.
        annotated: (B, K) bool, true for visible organs; None: all are.
    """
    heat_logits = heat_logits.float()
    seen = valid[:, None]
    target = heat_maps * (seen & visible[:, :, None, None, None])
    mass = math.pi**1.5 * sigmas.prod(1)
    squared_error = ((heat_logits.sigmoid() * seen - target) ** 2).sum((2, 3, 4)) / mass

    floor = torch.finfo(heat_logits.dtype).min
    log_position = functional.logsigmoid(heat_logits).masked_fill(~seen, floor).flatten(2).log_softmax(2)
    position = target.flatten(2)
    position = position / position.sum(2, keepdim=True).clamp(min=_EPS)
    divergence = functional.kl_div(log_position, position, reduction="none").sum(2)
    return _mean(squared_error, annotated), _mean(divergence, visible)


def roi_losses(
    roi_logits: Tensor,
    roi_targets: Tensor,
    roi_valid: Tensor,
    roi_voxels: Sequence[int],
    organ_voxels: Tensor,
    annotated: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Focal and Dice loss of the small organs inside their ROIs.

    The focal loss of an ROI is divided by the organ's mean number of voxels: eq. 1's weight, inversely proportional to
    the organ's size. It is the mean over the ROIs of annotated organs, Dice over those that hold some of the organ.

    Args:
        roi_logits: (B, N), the ROIs of K organs concatenated.
        roi_targets: (B, N), 1 in the organ.
        roi_valid: (B, N) bool, voxels that count.
        roi_voxels: voxels of each ROI, K numbers with the sum N.
        organ_voxels: mean volume of each organ in voxels, (K,).
        annotated: (B, K) bool, true for organs in the target; None: all are.
    """
    logits = roi_logits.float()
    target = roi_targets * roi_valid
    p = logits.sigmoid() * roi_valid
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = (1 - torch.exp(-cross_entropy)) ** GAMMA * cross_entropy * roi_valid

    def per_organ(values: Tensor) -> Tensor:
        return torch.stack([part.sum(1) for part in values.split(list(roi_voxels), 1)], 1)

    size = per_organ(target)
    dice = 1 - (2 * per_organ(p * target) + _EPS) / (per_organ(p) + size + _EPS)
    return _mean(per_organ(focal) / organ_voxels, annotated), _mean(dice, size > 0)


def _where_valid(values: Tensor, valid: Tensor | None) -> Tensor:
    return values if valid is None else values * valid


def _divide_sums(values: Tensor, counts: Tensor) -> Tensor:
    """Sum of the values of all processes by that of the counts."""
    total, number = add_up_processes(torch.stack([values.sum(), counts.sum()]))
    return total / number.clamp(min=_EPS)


def _mean(values: Tensor, counts: Tensor | None) -> Tensor:
    """Mean of the values that count (None: all do); 0 where none does."""
    counts = torch.ones_like(values) if counts is None else counts.to(values.dtype)
    total, number = add_up_processes(torch.stack([(values * counts).sum(), counts.sum()]))
    return total / number.clamp(min=1)
