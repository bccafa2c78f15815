"""What a trained FocusNet finds in one image: heat maps, ROIs, and the label maps of main network and fusion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian, compute_steps_for_sliding_window
from torch import Tensor
from torch.nn import functional as F

from nnunetv2_focusnet.architectures.focusnet import FocusNet
from nnunetv2_focusnet.images.properties import orientation_of
from nnunetv2_focusnet.organs.plans_entry import PlansEntry
from nnunetv2_focusnet.trainers.host import bare_network

WITHOUT_ORIENTATION = ("S", "P", "L")


@dataclass
class FoundOrgan:
    """Where a small organ was found. Voxels are (z, y, x), those of the inspected image.

    Attributes:
        name: as in dataset.json.
        label: its value in the label maps.
        heat_map: (Z, Y, X), values from 0 to 1; where tiles overlap, the highest.
        peak: the highest value.
        detected: whether the peak is above the model's threshold, and its SOS-Nets are trained.
        centre: voxel of the peak.
        roi_corner: lowest corner of the ROI; it may lie outside of an image that is smaller than the patch.
        roi_size: the ROI's extent.
    """

    name: str
    label: int
    heat_map: np.ndarray
    peak: float = -1.0
    detected: bool = False
    centre: tuple[int, ...] = ()
    roi_corner: tuple[int, ...] = ()
    roi_size: tuple[int, ...] = ()


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


@torch.inference_mode()
def inspect_case(predictor: nnUNetPredictor, image_files: Sequence[Path | str]) -> InspectedCase:
    """Predict one image tile by tile, as nnU-Net does, and keep what the parts of FocusNet say.

    Of an ensemble it is the first fold, without test-time mirroring: heat maps of several folds or mirrored images have
    their peaks in different places.

    Args:
        predictor: initialised from the folder of a model of FocusNet.
        image_files: one file per channel, ``CASE_0000.nii.gz`` first.

    Raises:
        ValueError: the model has no networks for small organs, or needs the prediction of another stage.
    """
    network = _focusnet(predictor)
    configuration = predictor.configuration_manager
    data, _, properties = configuration.preprocessor_class(verbose=False).run_case(
        [str(file) for file in image_files], None, predictor.plans_manager, configuration, predictor.dataset_json
    )
    patch = tuple(configuration.patch_size)
    padded, inside = pad_nd_image(torch.from_numpy(data), patch, "constant", {"value": 0}, True, None)
    size, offset = padded.shape[1:], np.array([part.start for part in inside[1:]])

    classes = predictor.label_manager.num_segmentation_heads
    main, fused = (torch.zeros(classes, *size) for _ in range(2))
    heat_maps = torch.zeros(len(network.config.small_organs), *size)
    small_organs = PlansEntry.of(configuration.configuration).small_organs
    organs = [
        FoundOrgan(organ.name, organ.label, heat_map[inside[1:]].numpy())
        for organ, heat_map in zip(small_organs, heat_maps, strict=True)
    ]
    weight = compute_gaussian(patch, value_scaling_factor=10, dtype=torch.float32, device=torch.device("cpu"))
    for corner, tile in _tiles(size, patch, predictor.tile_step_size):
        parts = network.parts(padded[tile][None].to(predictor.device))
        assert parts.heat_logits is not None
        assert parts.peaks is not None
        assert parts.centres is not None
        assert parts.rois is not None
        main[tile] += weight * parts.main_logits[0].float().cpu()
        fused[tile] += weight * network.fuse(parts)[0].float().cpu()
        heat = F.interpolate(parts.heat_logits.float().sigmoid(), patch)[0].cpu()
        heat_maps[tile] = torch.maximum(heat_maps[tile], heat)
        for k, (organ, peak) in enumerate(zip(organs, parts.peaks[0].sigmoid().tolist(), strict=True)):
            if peak > organ.peak:
                organ.peak = peak
                organ.centre = _shifted(parts.centres[0, k], corner - offset)
                organ.roi_corner = _shifted(parts.rois.corners[0, k], corner - offset)
                organ.roi_size = tuple(parts.rois.sizes[k])
    for organ in organs:
        organ.detected = bool(network.sos_trained) and organ.peak > network.config.detection_threshold

    order = predictor.plans_manager.transpose_forward
    towards = _directions(properties)
    return InspectedCase(
        name=Path(image_files[0]).name,
        image=data[0],
        spacing=tuple(configuration.spacing),
        towards=tuple(towards[axis] for axis in order),
        main=main.argmax(0)[inside[1:]].numpy(),
        fused=fused.argmax(0)[inside[1:]].numpy(),
        organs=organs,
    )


def _focusnet(predictor: nnUNetPredictor) -> FocusNet:
    """The predictor's network, with the weights of its first fold."""
    network = bare_network(predictor.network)
    if not isinstance(network, FocusNet):
        raise ValueError(
            f"The model of {predictor.trainer_name} has no networks for small organs: name one of FocusNet, trained on"
            " a dataset that has small organs."
        )
    if previous := predictor.configuration_manager.previous_stage_name:
        raise ValueError(f"This model needs the prediction of {previous}: look into a model without such a stage.")
    network.load_state_dict(predictor.list_of_parameters[0])
    return network.to(predictor.device).eval()


def _tiles(size: Sequence[int], patch: tuple[int, ...], step: float) -> Iterator[tuple[np.ndarray, tuple[slice, ...]]]:
    """Corner (z, y, x) of each tile, and the slices that cut it from (channels, Z, Y, X)."""
    for corner in product(*compute_steps_for_sliding_window(tuple(size), patch, step)):
        cut = (slice(start, start + length) for start, length in zip(corner, patch, strict=True))
        yield np.array(corner), (slice(None), *cut)


def _shifted(voxel: Tensor, by: np.ndarray) -> tuple[int, ...]:
    return tuple((voxel.cpu().numpy() + by).tolist())


def _directions(properties: dict[str, Any]) -> tuple[str, ...]:
    """Side of the patient that each axis of the array points to that nnU-Net's reader returned."""
    orientation = orientation_of(properties)
    return WITHOUT_ORIENTATION if orientation is None else tuple(orientation[::-1])
