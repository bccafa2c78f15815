"""Prediction of a whole image in two passes: find each small organ once, then segment it where it was found."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import product
from pathlib import Path
from typing import Any

import torch
from acvl_utils.cropping_and_padding.padding import pad_nd_image
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO, NibabelIOWithReorient
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO, SimpleITKIOWithReorient
from nnunetv2.imageio.tif_reader_writer import Tiff3DIO
from torch import Tensor

from nnunetv2_focusnet.architectures.focusnet import PARTS, FocusNet
from nnunetv2_focusnet.architectures.rois import Rois, peak_positions
from nnunetv2_focusnet.inference.elsewhere import voxels_by_main
from nnunetv2_focusnet.inference.export import Export
from nnunetv2_focusnet.inference.findings import Place
from nnunetv2_focusnet.inference.heat_maps import HeatMaps, Peaks
from nnunetv2_focusnet.inference.host import HostPredictor, Tile
from nnunetv2_focusnet.inference.inputs import check_inputs, check_names
from nnunetv2_focusnet.inference.locating import locate
from nnunetv2_focusnet.inference.patches import shared_patches
from nnunetv2_focusnet.inference.views import Channels, View, all_views, two_views
from nnunetv2_focusnet.laterality import swap_table
from nnunetv2_focusnet.organs.dataset_json import channels_of
from nnunetv2_focusnet.organs.plans_entry import PlansEntry, has_entry

Weights = Mapping[str, Tensor]
READERS_OF_ONE_CHANNEL = (SimpleITKIO, SimpleITKIOWithReorient, NibabelIO, NibabelIOWithReorient, Tiff3DIO)
VIEWS_AT_ONCE_ON_CPU = 2  # PyTorch takes longer to convolve one small patch than two together


class FocusNetPredictor(HostPredictor):
    """nnU-Net's predictor, with one location per small organ and image as in the paper (sec. 2).

    First the main network and SOL-Net see all tiles in all views: nnU-Net's mirrored ones, and those that are flipped
    left-right with swapped labels. Main logits are averaged as nnU-Net averages them; each organ's heat map is the mean
    over views, that of the surest tile which has the place well inside, and the mean over folds. Its peak says where
    the organ is in the image; of several peaks the main network chooses. Then a patch around that place, shared with
    organs that fit in, is what its SOS-Net segments it in, as it is and flipped. Both are fused on the whole image.

    Models without small organs have but the first pass, and models of other trainers are predicted as by nnU-Net.
    """

    places: Mapping[int, Place] = {}
    """Of the last image's small organs, by label; none where the model has no heat maps."""
    image_size: Sequence[int] = ()
    """(Z, Y, X) of the last image."""
    heat_maps: HeatMaps | None = None
    """Of the image in its first pass."""
    views: Sequence[View] = ()
    """Of the image that is being predicted."""
    roi_views: Sequence[View] = ()
    """Those in which its small organs are segmented."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take nnU-Net's arguments.

        Raises:
            ValueError: there is no such device.
        """
        super().__init__(*args, **kwargs)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise ValueError("PyTorch finds no CUDA GPU: give -device cpu (in Python device=torch.device('cpu'))")

    # ---- files ----

    def check_folder(self, folder: Path) -> None:
        """Refuse a folder without images, with others than nnU-Net would predict, or with cases that lack channels.

        Raises:
            ValueError: it is such a folder.
        """
        one_each = self.plans_manager.image_reader_writer_class in READERS_OF_ONE_CHANNEL
        check_names(folder, self.dataset_json["file_ending"], len(channels_of(self.dataset_json)) if one_each else None)

    def check_inputs(self, files: Sequence[Path]) -> None:
        """Refuse files that aren't whole.

        Raises:
            ValueError: there are such.
        """
        check_inputs(files)

    def export(self) -> Export:
        """What writes the image that was just predicted, and says what the user must look at."""
        return Export(self._entry, self.places, self.image_size)

    # ---- images ----

    @torch.inference_mode()
    def predict_image(self, data: Tensor) -> Tensor:
        """Logits (C, Z, Y, X) of an image (channels, Z, Y, X), by all folds."""
        folds = self.list_of_parameters if len(self.list_of_parameters) > 1 else [None]
        return self._predict(data, super().predict_image, folds)

    @torch.inference_mode()
    def predict_sliding_window_return_logits(self, input_image: Tensor) -> Tensor:
        """Logits (C, Z, Y, X) of an image (channels, Z, Y, X), by the network with the weights that it has."""
        by_nnunet = super().predict_sliding_window_return_logits
        if self.views:  # one fold of those that are asked for above
            return by_nnunet(input_image)
        return self._predict(input_image, by_nnunet, [None])

    def _predict(self, data: Tensor, first_pass: Callable[[Tensor], Tensor], folds: Sequence[Weights | None]) -> Tensor:
        self.places, self.image_size = {}, data.shape[1:]
        if (entry := self._entry) is None:
            return first_pass(data)
        network = self.bare_network
        has_small_organs = isinstance(network, FocusNet)
        stride = network.heat_stride if has_small_organs else (1, 1, 1)
        # On whole voxels of heat maps those of all tiles lie on one grid.
        patch_size = self.configuration_manager.patch_size
        image, (_, *inside) = pad_nd_image(data, patch_size, "constant", {"value": 0}, True, list(stride))
        self.views, self.roi_views = self._views_of(image.shape[0], entry)
        try:
            if has_small_organs:
                self.heat_maps = HeatMaps(len(network.config.small_organs), image.shape[1:], stride)
            # Where its callers take them next: the device, which was filled to gather them, may have no room for more.
            logits = first_pass(image).cpu()
            places = (
                self._add_small_organs(logits, image, inside, folds, entry)
                if self.heat_maps and self.heat_maps.folds
                else {}
            )
        finally:
            self.views, self.heat_maps = (), None
        logits = logits[(slice(None), *inside)]
        self.places = {label: place.moved([-s.start for s in inside]) for label, place in places.items()}
        return logits

    @property
    def _entry(self) -> PlansEntry | None:
        configuration = self.configuration_manager.configuration
        return PlansEntry.of(configuration) if has_entry(configuration) else None

    def _views_of(self, channels: int, entry: PlansEntry) -> tuple[list[View], list[View]]:
        labels = self.label_manager
        previous = labels.foreground_labels if self.configuration_manager.previous_stage_name else []
        small = entry.network.small_organs
        described = Channels(channels - len(previous), previous, labels.num_segmentation_heads, small)
        swap_flip = entry.swap_flip if self.use_mirroring else None
        views = all_views(self.mirror_axes, swap_flip, described)
        return views, two_views(views, swap_flip)

    # ---- first pass ----

    def place_tiles(self, tiles: list[Tile]) -> list[Tile]:
        """On whole voxels of heat maps; what they cover stays covered, as patches are multiples of such voxels, too."""
        if self.heat_maps is None:
            return tiles
        return [(slice(None), *map(_moved_down, tile[1:], self.heat_maps.stride)) for tile in tiles]

    def begin_tiles(self, device: torch.device) -> None:
        """Begin a fold's heat maps."""
        self._gathering = self.heat_maps if self.heat_maps and self.bare_network.sos_trained else None
        if self._gathering:
            self._gathering.begin_fold(device)
            saying = torch.tensor([view.says_of_organs for view in self.views], device=self.device)
            self._saying = saying.sum(0)[:, None, None, None]  # views that a mean is taken over, of each organ

    def predict_tile(self, x: Tensor, tile: Tile) -> Tensor:
        """The main network's logits, averaged over the views; so are the heat maps, which are gathered."""
        if not self.views:
            return super().predict_tile(x, tile)
        at_once = VIEWS_AT_ONCE_ON_CPU if x.device.type == "cpu" else 1
        batches = [self.views[i : i + at_once] for i in range(0, len(self.views), at_once)]
        looks = (self._look(x, views) for views in batches)
        logits, heat_maps = next(looks)
        for more_logits, more_heat_maps in looks:
            logits += more_logits
            heat_maps += more_heat_maps
        if self._gathering:
            self._gathering.add(heat_maps / self._saying, [along_axis.start for along_axis in tile[1:]])
        return logits / len(self.views)

    def _look(self, x: Tensor, views: Sequence[View]) -> tuple[Tensor, Tensor]:
        """The main network's logits (1, C, Z, Y, X) and the heat maps (K, z, y, x) of a tile, summed over some views.

        Where none are gathered, heat maps are 0.
        """
        seen = torch.cat([view.show(x) for view in views])
        heat_maps = seen.new_zeros(())
        if self.heat_maps is None:
            logits = self.network(seen)
        else:
            parts = self.bare_network.parts(seen, PARTS.index("sol" if self._gathering else "main"))
            logits = parts.main_logits
            if self._gathering:
                each = zip(views, parts.heat_logits.float().sigmoid().split(1), strict=True)
                heat_maps = reduce(torch.add, (view.read_heat_maps(of_view)[0] for view, of_view in each))
        read = (view.read_logits(of_view) for view, of_view in zip(views, logits.split(1), strict=True))
        return reduce(torch.add, read), heat_maps

    def end_tiles(self) -> None:
        """End a fold's heat maps."""
        if self._gathering:
            self._gathering.end_fold()

    # ---- second pass ----

    def _add_small_organs(
        self,
        logits: Tensor,
        image: Tensor,
        inside: Sequence[slice],
        folds: Sequence[Weights | None],
        entry: PlansEntry,
    ) -> dict[int, Place]:
        """Fuse what the SOS-Nets say into the main network's logits; returns the organs' places by their labels.

        Logits and image are on the CPU, and padded beyond ``inside``.
        """
        assert self.heat_maps is not None
        network = self.bare_network

        def rois_around(centres: Tensor) -> Rois:
            return network.rois_around(centres[None], list(image.shape[1:]))

        self.heat_maps.empty_slopes()
        peaks = locate(self.heat_maps, logits, entry.organs_with_networks, rois_around)
        rois = rois_around(peaks.voxels)
        found = peaks.probabilities > network.config.detection_threshold
        fused = found & self._has_share(folds)
        with self.autocast():
            roi_logits = self._segment(image, rois, fused.nonzero()[:, 0].tolist(), folds)
        by_main = voxels_by_main(logits, rois, network.config.small_organs, fused, inside)
        network.fuse_(logits[None], roi_logits, rois, fused[None], torch.ones(len(fused)))
        return self._places(peaks, rois, found, by_main, entry)

    def _places(
        self, peaks: Peaks, rois: Rois, found: Tensor, by_main: Sequence[Tensor], entry: PlansEntry
    ) -> dict[int, Place]:
        """Where organs were found and may be besides, by their labels; second peaks are what the ROIs leave."""
        assert self.heat_maps is not None
        network = self.bare_network
        self.heat_maps.clear(rois, [p if found[p] else k for k, p in enumerate(self._partners(entry))])
        others, spacing = self.heat_maps.peaks(), self.configuration_manager.spacing
        position, second = (peak_positions(each.voxels, network.heat_stride) for each in (peaks, others))
        of_organs = {
            "peak": peaks.probabilities,
            "position": position,
            "second_peak": others.probabilities,
            "second_position": second,
            "found": found,
            "apart_mm": ((position - second) * torch.tensor(spacing)).norm(dim=1),
            "inside_mm3": by_main[0] * math.prod(spacing),
            "elsewhere_mm3": by_main[1] * math.prod(spacing),
        }
        return {
            label: Place(**{name: values[k].tolist() for name, values in of_organs.items()})
            for k, label in enumerate(network.config.small_organs)
        }

    def _has_share(self, folds: Sequence[Weights | None]) -> Tensor:
        """In which organs SOS-Nets have a share in any fold and view, (K,) bool; the others stay the main network's."""
        weights = (self.bare_network.state_dict() if fold is None else fold for fold in folds)
        shares = [(each["sos_shares"] * each["sos_trained"]).cpu() for each in weights]
        of_any_fold = torch.stack(shares).amax(0) > 0
        organs = zip(*(view.organs for view in self.roi_views), strict=True)
        return torch.tensor([any(k is not None and of_any_fold[k] for k in in_views) for in_views in organs])

    def _partners(self, entry: PlansEntry) -> list[int]:
        """Of each small organ, the one on the other side; itself if there is none."""
        small, sides = list(self.bare_network.config.small_organs), entry.laterality
        table = swap_table(sides.pairs if sides else (), self.label_manager.num_segmentation_heads)
        return [small.index(table[label]) if table[label] in small else k for k, label in enumerate(small)]

    def _segment(self, image: Tensor, rois: Rois, organs: Sequence[int], folds: Sequence[Weights | None]) -> Tensor:
        """Log-odds (1, N) of all organs in their ROIs; 0 for those that aren't wanted.

        They are means over folds and views of what SOS-Net and main network say in each, by its own shares.
        """
        network, patch_size = self.bare_network, self.configuration_manager.patch_size
        corners, sizes = rois.corners[0], torch.tensor(rois.sizes)
        patches = shared_patches(
            *(corners.numpy(), sizes.numpy(), organs),
            patch_size=patch_size,
            image_size=rois.volume_size,
            multiple_of=network.roi_step,
        )
        total = [torch.zeros(tuple(size)) for size in rois.sizes]
        answers = [0] * len(total)
        for weights in folds:
            if weights is not None:
                network.load_state_dict(weights)
            for patch, view in product(patches, self.roi_views):
                members = [k for k in patch.organs if view.organs[k] is not None]
                if not members:
                    continue
                box = tuple(slice(low, low + size) for low, size in zip(patch.corner, patch_size, strict=True))
                x = view.show(image[(None, slice(None), *box)].to(self.device))
                at = view.corners(corners[members] - torch.tensor(patch.corner), sizes[members], patch_size)
                in_view = Rois.at(at[None].to(self.device), sizes[members].tolist(), patch_size)
                parts = in_view.split(network.segment_at(x, in_view, [view.organs[k] for k in members])[:, None])
                for k, part in zip(members, parts, strict=True):
                    total[k] += view.mirror(part)[0, 0].float().cpu()
                    answers[k] += 1
        means = [sum_ / max(number, 1) for sum_, number in zip(total, answers, strict=True)]
        return torch.cat([mean.flatten() for mean in means])[None]


def _moved_down(tile: slice, step: int) -> slice:
    start = tile.start // step * step
    return slice(start, start + tile.stop - tile.start)
