"""What a network's weights were trained with, saved among them: their shapes don't tell one organ from another.

nnU-Net builds a network from ``plans.json`` and loads weights into it. Where the two aren't of one training, the shapes
may fit all the same: a lens is then predicted as a nerve, or an image is resampled to another spacing.
"""

import json
import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from nnunetv2_focusnet.organs.plans_entry import PlansEntry, other_plans

KEY = "trained_with"


def keep_record(
    network: nn.Module,
    entry: PlansEntry,
    plans: PlansManager,
    configuration: ConfigurationManager,
) -> nn.Module:
    """Have the network save what it is built for along with its weights, and refuse weights that aren't for that.

    Loading such weights, or those of another network, raises a ValueError of one line, unless ``strict=False``.

    Args:
        network: a whole network, as nnU-Net's trainers and predictor have it.
        entry: of the plans.
        plans: that it was built from.
        configuration: that it was built from.

    Returns:
        The same network.
    """
    record = {
        "small organs": [(organ.name, organ.label, organ.roi_size) for organ in entry.organs_with_networks],
        "ROIs": entry.network.roi_sizes,
        "pairs": [pairs.organs, pairs.mirror_axis] if (pairs := entry.network.pairs) else None,
        "spacing": configuration.spacing,
        "order of axes": plans.transpose_forward,
        "normalisation": [configuration.normalization_schemes, configuration.use_mask_for_norm],
        "intensities": plans.foreground_intensity_properties_per_channel,
        "strides and dilations": [[*m.stride, *m.dilation] for m in network.modules() if isinstance(m, _ConvNd)],
    }
    as_text = json.dumps({name: json.dumps(value, sort_keys=True) for name, value in record.items()})
    network.register_state_dict_post_hook(partial(_add_record, record=as_text.encode()))
    network.register_load_state_dict_pre_hook(_check_record)
    return network


def find_difference(network: nn.Module, weights: Mapping[str, Tensor]) -> str | None:
    """In what the weights aren't those of the network, in a few words; None: they fit."""
    own = network.state_dict()
    if KEY in own and KEY in weights:
        ours, theirs = (json.loads(bytes(saved[KEY].tolist())) for saved in (own, weights))
        if names := [name for name in ours if ours[name] != theirs.get(name)]:
            return f"different {', '.join(names)}"
    return find_misfit(own, weights)


def find_misfit(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str | None:
    """What keeps weights from taking the place of a network's own, whatever they mean; None: nothing."""
    if missing := [name for name in own if name not in weights]:
        return f"{len(missing)} of {len(own)} tensors missing, the first is {missing[0]}"
    if unknown := [name for name in weights if name not in own]:
        return f"{len(unknown)} of {len(weights)} tensors unknown, the first is {unknown[0]}"
    for name, value in own.items():
        if name != KEY and value.shape != weights[name].shape:
            return f"{name} has the shape {list(weights[name].shape)} instead of {list(value.shape)}"
    return None


def _add_record(_network: nn.Module, weights: dict[str, Any], prefix: str, _metadata: Any, *, record: bytes) -> None:
    # A tensor, as everybody expects nothing else among weights.
    weights[prefix + KEY] = torch.frombuffer(bytearray(record), dtype=torch.uint8)


def _check_record(
    network: nn.Module, weights: dict[str, Any], prefix: str, _metadata: Any, strict: bool, *_errors: list[str]
) -> None:
    own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    if strict and (difference := find_difference(network, own)):
        raise other_plans(difference)
    if not own.get("sos_trained", True):
        warnings.warn(
            "These weights are from before the SOS-Nets were trained: small organs are the main network's own.",
            stacklevel=2,
        )
    weights.pop(prefix + KEY, None)
