"""Majorities in single voxels, counted by hand."""

import numpy as np
import pytest

from nnunetv2_focusnet.atlas.voting import UNKNOWN, vote

A, B = 1, 2


@pytest.mark.parametrize(
    ("labels", "winner"),
    [
        ([A, A, 0], A),
        ([A, 0, 0], 0),
        ([A, 0], 0),  # equal: background
        ([A, B], A),  # equal: the lowest label
        ([A, A, B, 0, 0], 0),  # two each
        ([A, A, A, B, B, 0, 0], A),  # three of seven is more than anybody else has
        ([A, UNKNOWN, UNKNOWN], A),  # one knows the voxel
        ([UNKNOWN, UNKNOWN], 0),
    ],
)
def test_the_most_frequent_label_wins(labels: list[int], winner: int) -> None:
    assert vote_in_one_voxel(labels, [()] * len(labels)) == winner


def test_cases_in_which_nobody_drew_an_organ_do_not_vote_against_it() -> None:
    """Two of four cases have A; in the others it isn't annotated: of two that can tell, both do."""
    labels = [A, A, 0, 0]
    assert vote_in_one_voxel(labels, [(), (), (), ()]) == 0
    assert vote_in_one_voxel(labels, [(), (), (A,), (A,)]) == A


def test_another_organ_is_a_vote_against_one_that_is_not_annotated() -> None:
    """A has one vote of three, as those with B know it isn't A there; B has two of three."""
    assert vote_in_one_voxel([A, B, B], [(), (A,), (A,)]) == B
    # A: one of one; B: one of three; nothing is left for the background
    assert vote_in_one_voxel([A, 0, 0], [(), (A,), (A,)]) == A


def vote_in_one_voxel(labels: list[int], unannotated: list[tuple[int, ...]]) -> int:
    voxels = np.array(labels, np.uint16).reshape(-1, 1, 1, 1)
    return int(vote(voxels, 2, unannotated)[0, 0, 0])
