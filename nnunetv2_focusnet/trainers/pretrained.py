"""Taking over pretrained weights, also those of a stock network or of S-Net, which FocusNet has under ``main``."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from nnunetv2_focusnet.trainers.checkpoints import read_checkpoint
from nnunetv2_focusnet.trainers.host import NEW_IN_EVERY_TRAINING
from nnunetv2_focusnet.trainers.trained_with import KEY

_MAIN_NETWORK = ("main.unet.", "main.")
_NAMES = {"main": "main network", "sol": "SOL-Net", "sos": "SOS-Nets"}


def take_over(network: nn.Module, path: Path) -> str:
    """Put the weights of a checkpoint into a network; its segmentation layers start afresh, as always in nnU-Net.

    The main network has to fit as a whole, wherever in the checkpoint it is. SOL-Net is taken if the checkpoint's has
    as many organs, in the order of their labels, and with it SOS-Nets if there are as many of the same sizes, those
    that pairs share first; else they start afresh.

    Args:
        network: without its DDP and compile wrappers.
        path: of the checkpoint.

    Returns:
        One line that says what was taken over and what starts afresh.

    Raises:
        ValueError: the checkpoint can't be read, or its main network isn't the network's.
    """
    try:
        saved = read_checkpoint(path, wanted=["network_weights"])["network_weights"]
    except ValueError as error:
        raise ValueError(f"{error}. Give another file to -pretrained_weights, or a whole copy.") from None
    own = network.state_dict()
    theirs, ours = _by_part(saved), _by_part(own)
    if misfit := _misfit(theirs["main"], ours["main"]):
        raise ValueError(
            f"{path} has another main network than this one ({misfit}): take a checkpoint of the same plans, of this"
            " trainer, or of the one that trains its main network alone."
        )
    taken = [part for part in ours if ours[part] and not _misfit(theirs[part], ours[part])]
    if "sol" not in taken:  # other organs, which may happen to have as many SOS-Nets
        taken = [part for part in taken if part != "sos"]
    for part in taken:
        own |= {
            f"{_prefix(own, part)}{name}": value
            for name, value in theirs[part].items()
            if NEW_IN_EVERY_TRAINING not in name
        }
    network.load_state_dict(own)
    fresh = [_NAMES[part] for part in ours if ours[part] and part not in taken]
    afresh = ", ".join([*fresh, "segmentation layers"])
    return f"Loaded pretrained weights from {path}: {', '.join(_NAMES[part] for part in taken)}. Afresh: {afresh}."


def _by_part(weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of each part, under their names in it."""
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in _NAMES}
    for name, value in weights.items():
        part, _, rest = name.partition(".")
        if part in ("sol", "sos"):
            parts[part][rest] = value
        elif name not in (KEY, "sos_trained", "sos_shares"):
            parts["main"][name.removeprefix(_prefix(weights, "main"))] = value
    return parts


def _prefix(weights: Mapping[str, Tensor], part: str) -> str:
    """What stands before the names of a part's tensors in the names of a whole network's."""
    if part != "main":
        return f"{part}."
    return next((prefix for prefix in _MAIN_NETWORK if any(name.startswith(prefix) for name in weights)), "")


def _misfit(theirs: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> str | None:
    """What keeps a part from being taken over; None: nothing."""
    for name, value in ours.items():
        if NEW_IN_EVERY_TRAINING in name:
            continue
        if name not in theirs:
            return f"it lacks {name}"
        if theirs[name].shape != value.shape:
            return f"{name} has the shape {list(theirs[name].shape)} instead of {list(value.shape)}"
    more = (name for name in theirs if name not in ours and NEW_IN_EVERY_TRAINING not in name)
    return next((f"it has {name} besides" for name in more), None)
