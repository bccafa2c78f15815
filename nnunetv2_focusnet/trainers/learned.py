"""How far each organ has been learned, by its online DSC: so far the loss stops favouring it."""

import numpy as np

from nnunetv2_focusnet.trainers.host import EMA_DECAY

BEGUN, LEARNED = 0.4, 0.7  # DSC


def how_far_learned(dsc: np.ndarray) -> np.ndarray:
    """From 0, below a DSC of 0.4, to 1, from 0.7 on.

    The weights of eq. 1 find a lens long before equal ones do, and draw it two to three times too large once it is
    found: they call a voxel lens from a probability of 0.001 on. A fixed schedule would take them away from organs that
    aren't found yet.

    Args:
        dsc: (epochs so far, organs), NaN where an organ wasn't there.

    Returns:
        (organs + 1,), first the background's: the organs' mean. An organ that was in no epoch counts as learned as the
        others are.
    """
    average = np.zeros(dsc.shape[1])
    for epoch in dsc:
        average = np.where(np.isnan(epoch), average, EMA_DECAY * average + (1 - EMA_DECAY) * np.nan_to_num(epoch))
    organs = np.clip((average - BEGUN) / (LEARNED - BEGUN), 0, 1)
    seen = ~np.isnan(dsc).all(0)
    if seen.any():
        organs[~seen] = organs[seen].mean()
    return np.array([organs.mean(), *organs])
