"""What this package writes into plans: the one place that knows how it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from nnunetv2_focusnet.architectures.config import FocusNetConfig
from nnunetv2_focusnet.organs.organ import Organ, SmallOrgan
from nnunetv2_focusnet.system.json_objects import as_json, from_json

KEY = "focusnet"


@dataclass(frozen=True)
class Laterality:
    """Left and right in a network's images, all of which lie the same way.

    Attributes:
        axis: of the network (0, 1, 2 for z, y, x) that leads from one side to the other.
        left_at_end: whether the patient's left is at the end of that axis.
        pairs: (left label, right label) of the paired organs.
        may_flip: whether an image that is flipped along that axis, with its pairs' labels swapped, may be a patient's.
    """

    axis: int
    left_at_end: bool
    pairs: tuple[tuple[int, int], ...]
    may_flip: bool = True


@dataclass(frozen=True, kw_only=True)
class PlansEntry:
    """The entry ``"focusnet"`` of the configuration that a model is trained in.

    Attributes:
        organs: all organs, sorted by label.
        small_organs: those that are small, sorted by label.
        focal_weights: a weight per class, background first.
        network: all that decides a prediction of a patch besides its weights.
        laterality: None where images lie in different ways or don't say how, where no organ has a side, and as long as
            no preprocessed image was looked at.
    """

    organs: tuple[Organ, ...]
    small_organs: tuple[SmallOrgan, ...]
    focal_weights: tuple[float, ...]
    network: FocusNetConfig
    laterality: Laterality | None = None

    @property
    def swap_flip(self) -> Laterality | None:
        """What a flip swaps; None where none may be made."""
        return self.laterality if self.laterality and self.laterality.may_flip else None

    @property
    def organs_with_networks(self) -> tuple[SmallOrgan, ...]:
        """The small organs that have networks of their own, which is all or, in a main network alone, none."""
        return self.small_organs if self.network.small_organs else ()

    @property
    def roi_sizes(self) -> dict[int, tuple[int, int, int]]:
        """The ROI, (z, y, x) in voxels, of each small organ's label: its SOS-Net's, or what it would have."""
        of_networks = dict(zip(self.network.small_organs, self.network.roi_sizes, strict=True))
        return {organ.label: of_networks.get(organ.label, organ.roi_size) for organ in self.small_organs}

    @classmethod
    def of(cls, configuration: Mapping[str, Any]) -> PlansEntry:
        """Read it from a configuration of a model's plans.

        Raises:
            ValueError: the plans aren't those of a training of FocusNet, or of another version's.
        """
        with _reading():
            content = configuration[KEY]
            laterality = content["laterality"]
            read = {
                "laterality": None if laterality is None else from_json(Laterality, laterality),
                "network": FocusNetConfig.from_json(content["network"]),
                "organs": [from_json(Organ, organ) for organ in content["organs"]],
                "small_organs": read_small_organs(configuration),
            }
            return from_json(cls, content | read)

    def to_json(self) -> dict[str, Any]:
        """What goes into a configuration of the plans."""
        return as_json(self) | {"network": self.network.as_json()}

    def added_to(self, plans: dict[str, Any], configuration: str) -> dict[str, Any]:
        """A copy of the plans in which this configuration alone has an entry, this one.

        Plans that were made for this package have one in every 3D configuration.
        """
        result = deepcopy(plans)
        for other in result["configurations"].values():
            other.pop(KEY, None)
        result["configurations"][configuration][KEY] = self.to_json()
        return result


def has_entry(configuration: Mapping[str, Any]) -> bool:
    """Whether a configuration in plans has an entry: that of a model has, and so have those planned for one."""
    return KEY in configuration


def is_planned_for_others(configuration: Mapping[str, Any], organs: Sequence[Organ]) -> bool:
    """Whether a configuration was planned for other organs than these; not if it was planned without any.

    Args:
        configuration: of a dataset's plans.
        organs: as they are now, sorted by label.

    Raises:
        ValueError: the entry is of another version.
    """
    if KEY not in configuration:
        return False
    try:
        planned = [from_json(Organ, organ) for organ in configuration[KEY]["organs"]]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'the entry "{KEY}" of the plans is of another version ({type(error).__name__}: {error}): plan again'
        ) from None
    return len(planned) != len(organs) or not all(map(Organ.agrees_with, planned, organs))


def read_small_organs(configuration: Mapping[str, Any]) -> tuple[SmallOrgan, ...]:
    """The small organs of a model's configuration, whatever the format of its network.

    Raises:
        ValueError: the plans aren't those of a training of FocusNet.
    """
    with _reading():
        return tuple(from_json(SmallOrgan, organ) for organ in configuration[KEY]["small_organs"])


def other_plans(difference: str) -> ValueError:
    """The error for a plans.json that isn't the one that the network was trained with.

    Args:
        difference: what shows that it isn't.
    """
    return ValueError(
        f"plans.json isn't the one that the network was trained with ({difference}): put that one back;"
        " nnUNetv2_train with --c writes it anew, and every checkpoint holds it under init_args, plans."
    )


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise other_plans(f'its entry "{KEY}" lacks {error}') from None
    except TypeError as error:
        raise other_plans(f'its entry "{KEY}" is of another form: {error}') from None
