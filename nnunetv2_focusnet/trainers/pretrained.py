"""Taking over pretrained weights, also those of a stock network or of S-Net, which FocusNet has under ``main``."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from nnunetv2_focusnet.trainers.checkpoints import read_checkpoint
from nnunetv2_focusnet.trainers.host import NEW_IN_EVERY_TRAINING
from nnunetv2_focusnet.trainers.trained_with import KEY, find_misfit

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
    if misfit := find_misfit(ours["main"], theirs["main"]):
        raise ValueError(
            f"{path} has another main network than this one ({misfit}): take a checkpoint of the same plans, of this"
            " trainer, or of the one that trains its main network alone."
        )
    taken = [part for part in ours if ours[part] and not find_misfit(ours[part], theirs[part])]
    if "sol" not in taken:  # other organs, which may happen to have as many SOS-Nets
        taken = [part for part in taken if part != "sos"]
    for part in taken:
        own |= {f"{_prefix(own, part)}{name}": value for name, value in theirs[part].items()}
    network.load_state_dict(own)
    fresh = [_NAMES[part] for part in ours if ours[part] and part not in taken]
    afresh = ", ".join([*fresh, "segmentation layers"])
    return f"Loaded pretrained weights from {path}: {', '.join(_NAMES[part] for part in taken)}. Afresh: {afresh}."


def _by_part(weights: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of each part that a network can take over, under their names in it."""
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in _NAMES}
    for name, value in weights.items():
        part, _, rest = name.partition(".")
        if part in ("sol", "sos"):
            parts[part][rest] = value
        elif name not in (KEY, "sos_trained", "sos_shares") and NEW_IN_EVERY_TRAINING not in name:
            parts["main"][name.removeprefix(_prefix(weights, "main"))] = value
    return parts


def _prefix(weights: Mapping[str, Tensor], part: str) -> str:
    """What stands before the names of a part's tensors in the names of a whole network's."""
    if part != "main":
        return f"{part}."
    return next((prefix for prefix in _MAIN_NETWORK if any(name.startswith(prefix) for name in weights)), "")
