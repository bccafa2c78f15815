"""The label of a template: each voxel goes to whoever gets most votes of the training cases."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

UNKNOWN = 2**16 - 1  # a case covers no such voxel, or has the ignore label there
LEAST_LEAD = 1e-6  # of shares, which are sums of fractions


def vote(label_maps: np.ndarray, num_labels: int, unannotated: Sequence[Collection[int]]) -> np.ndarray:
    """The label with the largest share of the votes in each voxel; of equal ones background, then the lowest label.

    An organ's share is that among the cases that can tell: those that have it annotated and know the voxel, and those
    that have another organ there. What the organs leave is the share of the background, so that a case in which nobody
    drew an organ never votes against it.

    Args:
        label_maps: of the cases, on one grid, `UNKNOWN` where they say nothing; shape (N, Z, Y, X).
        num_labels: organs have the labels 1 to this.
        unannotated: labels that each case doesn't have annotated.

    Returns:
        Shape (Z, Y, X), of the type of the label maps.
    """
    shape = label_maps.shape[1:]
    winner, largest, taken = np.zeros(shape, label_maps.dtype), np.zeros(shape), np.zeros(shape)
    for label in range(1, num_labels + 1):
        share = _share(label_maps, label, [label in missing for missing in unannotated])
        taken += share
        ahead = share > largest + LEAST_LEAD
        winner[ahead], largest[ahead] = label, share[ahead]
    winner[largest < 1 - taken + LEAST_LEAD] = 0
    return winner


def _share(label_maps: np.ndarray, label: int, not_annotated: Sequence[bool]) -> np.ndarray:
    votes, voters = np.zeros(label_maps.shape[1:], np.uint16), np.zeros(label_maps.shape[1:], np.uint16)
    for labels, missing in zip(label_maps, not_annotated, strict=True):
        votes += labels == label
        voters += (labels != UNKNOWN) & ((labels > 0) | (not missing))
    return votes / np.maximum(voters, 1)
