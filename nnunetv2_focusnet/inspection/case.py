"""What a trained FocusNet finds in one image: heat maps, ROIs, and the label maps of main network and fusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from torch import Tensor
from torch.nn import functional as F

from nnunetv2_focusnet.architectures.focusnet import FocusNet
from nnunetv2_focusnet.images.properties import orientation_of
from nnunetv2_focusnet.inference.predictor import FocusNetPredictor
from nnunetv2_focusnet.organs.plans_entry import PlansEntry
from nnunetv2_focusnet.trainers.host import bare_network

WITHOUT_ORIENTATION = ("S", "P", "L")


@dataclass(frozen=True)
class FoundOrgan:
    """Where a small organ was found. Voxels are (z, y, x), those of the inspected image.

    Attributes:
        name: as in dataset.json.
        label: its value in the label maps.
        heat_map: (Z, Y, X), values from 0 to 1; where tiles overlap, the highest, of several views and folds the mean.
        peak: its value where the organ was found; another peak may be higher, see
            :func:`~nnunetv2_focusnet.inference.locating.locate`.
        detected: whether the peak is above the model's threshold.
        centre: position of the peak, between two voxels where one of the heat map covers an even number of them; it may
            lie outside of an image that is smaller than the patch.
        roi_corner: lowest corner of the ROI; it may lie outside of such an image, too.
        roi_size: the ROI's extent.
    """

    name: str
    label: int
    heat_map: np.ndarray
    peak: float
    detected: bool
    centre: tuple[float, ...]
    roi_corner: tuple[int, ...]
    roi_size: tuple[int, ...]


@dataclass(frozen=True)
class InspectedCase:
    """One image on the grid that the network works on: cropped, resampled, and with its order of axes.

    Attributes:
        name: the image's file name.
        image: (Z, Y, X), the first channel, normalised.
        spacing: (z, y, x) in mm.
        towards: side of the patient that each axis points to, a letter of R, L, A, P, I, S; of files without an
            orientation S, P, L is assumed.
        main: (Z, Y, X), the main network's own label map.
        fused: (Z, Y, X), the label map of all parts together.
        organs: the small organs.
    """

    name: str
    image: np.ndarray
    spacing: tuple[float, ...]
    towards: tuple[str, ...]
    main: np.ndarray
    fused: np.ndarray
    organs: list[FoundOrgan]


class _Inspector(FocusNetPredictor):
    """Predicts as ``nnUNetv2_focusnet_predict``, and keeps what that goes on from after the first pass.

    Args:
        predictor: of the same model, with all its settings.
    """

    main: Tensor
    """(Z, Y, X), the main network's label map."""
    heat: Tensor
    """(K, z, y, x), the heat maps."""

    def __init__(self, predictor: nnUNetPredictor) -> None:
        self.__dict__.update(vars(predictor))

    def _add_small_organs(self, logits: Tensor, *args: Any) -> Any:
        assert self.heat_maps is not None
        self.main = logits.argmax(0)
        self.heat = self.heat_maps.mean()
        return super()._add_small_organs(logits, *args)


def inspect_case(predictor: nnUNetPredictor, image_files: Sequence[Path | str]) -> InspectedCase:
    """Predict one image as ``nnUNetv2_focusnet_predict`` does, and keep what the parts of FocusNet say.

    That is with all folds, and with test-time mirroring, that the predictor has.

    Args:
        predictor: initialised from the folder of a model of FocusNet.
        image_files: one file per channel, ``CASE_0000.nii.gz`` first.

    Raises:
        ValueError: the model has no networks for small organs, or none that is trained, or needs the prediction of
            another stage.
    """
    network = _focusnet(predictor)
    configuration = predictor.configuration_manager
    data, _, properties = configuration.preprocessor_class(verbose=False).run_case(
        [str(file) for file in image_files], None, predictor.plans_manager, configuration, predictor.dataset_json
    )
    # As the predictor would pad it: so all that is kept has one grid.
    image, (_, *inside) = pad_nd_image(
        torch.from_numpy(data), configuration.patch_size, "constant", {"value": 0}, True, list(network.heat_stride)
    )
    inspector = _Inspector(predictor)
    fused = inspector.predict_logits_from_preprocessed_data(image).argmax(0)
    if not inspector.places:
        raise ValueError("The networks for small organs of this model aren't trained yet: take one of a later epoch.")

    order = predictor.plans_manager.transpose_forward
    towards = _directions(properties)
    return InspectedCase(
        name=Path(image_files[0]).name,
        image=data[0],
        spacing=tuple(configuration.spacing),
        towards=tuple(towards[axis] for axis in order),
        main=inspector.main[tuple(inside)].numpy(),
        fused=fused[tuple(inside)].numpy(),
        organs=_found_organs(inspector, image.shape[1:], inside),
    )


def _focusnet(predictor: nnUNetPredictor) -> FocusNet:
    network = bare_network(predictor.network)
    if not isinstance(network, FocusNet):
        raise ValueError(
            f"The model of {predictor.trainer_name} has no networks for small organs: name one of FocusNet, trained on"
            " a dataset that has small organs."
        )
    if previous := predictor.configuration_manager.previous_stage_name:
        raise ValueError(f"This model needs the prediction of {previous}: look into a model without such a stage.")
    return network


def _found_organs(inspector: _Inspector, image_size: Sequence[int], inside: Sequence[slice]) -> list[FoundOrgan]:
    """The small organs of a padded image of size (Z, Y, X), in the part of it that isn't padding."""
    organs = PlansEntry.of(inspector.configuration_manager.configuration).organs_with_networks
    positions = torch.tensor([list(inspector.places[organ.label].position) for organ in organs])
    rois = inspector.bare_network.rois_around((positions + 0.5).floor().long()[None], list(image_size))
    heat_maps = F.interpolate(inspector.heat[None], tuple(image_size))[0]
    offset = torch.tensor([along_axis.start for along_axis in inside])
    return [
        FoundOrgan(
            name=organ.name,
            label=organ.label,
            heat_map=heat_map[tuple(inside)].numpy(),
            peak=inspector.places[organ.label].peak,
            detected=inspector.places[organ.label].found,
            centre=tuple(centre.tolist()),
            roi_corner=tuple(corner.tolist()),
            roi_size=tuple(size),
        )
        for organ, heat_map, centre, corner, size in zip(
            organs, heat_maps, positions - offset, rois.corners[0] - offset, rois.sizes, strict=True
        )
    ]


def _directions(properties: dict[str, Any]) -> tuple[str, ...]:
    """Side of the patient that each axis of the array points to that nnU-Net's reader returned."""
    orientation = orientation_of(properties)
    return WITHOUT_ORIENTATION if orientation is None else tuple(orientation[::-1])
