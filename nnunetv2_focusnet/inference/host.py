"""nnU-Net's predictor as this package knows it: all that it relies on beyond documented methods is in this file.

``tests/inference/test_predictor_host.py`` has a test for each such thing, see :mod:`nnunetv2_focusnet.trainers.host`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from itertools import chain
from pathlib import Path
from threading import RLock
from typing import Any

import torch
from nnunetv2.inference import predict_from_raw_data as predictor_module
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor

from nnunetv2_focusnet.inference.host_export import HostExport
from nnunetv2_focusnet.trainers.host import bare_network, replaced

Tile = Sequence[slice]
_WRITE, _CONVERT = "export_prediction_from_logits", "convert_predicted_logits_to_segmentation_with_correct_shape"

_ONE_AT_A_TIME = RLock()


class HostPredictor(nnUNetPredictor):  # type: ignore[misc]
    """nnU-Net's predictor with the hooks that it lacks. By itself it predicts just as nnU-Net's does."""

    plans_manager: PlansManager
    configuration_manager: ConfigurationManager
    label_manager: LabelManager
    _exports = False

    # ---- hooks ----

    def begin_tiles(self, device: torch.device) -> None:
        """Hook: a network is about to see all tiles of an image, perhaps anew as the device's memory didn't suffice.

        Args:
            device: where results are gathered.
        """

    def predict_tile(self, x: Tensor, tile: Tile) -> Tensor:
        """Hook: logits (1, C, Z, Y, X) of a tile, averaged over all views.

        Args:
            x: (1, channels, Z, Y, X), the image in the tile.
            tile: where it lies in the image, channels first.
        """
        return super()._internal_maybe_mirror_and_predict(x)

    def end_tiles(self) -> None:
        """Hook: the network has seen all tiles."""

    def place_tiles(self, tiles: list[Tile]) -> list[Tile]:
        """Hook: tiles in place of those that nnU-Net has found."""
        return tiles

    def check_folder(self, folder: Path) -> None:
        """Hook: the images of a folder are about to be predicted."""

    def check_inputs(self, files: Sequence[Path]) -> None:
        """Hook: images, and label maps of the previous stage in a cascade, are about to be predicted."""

    def predict_image(self, data: Tensor) -> Tensor:
        """Hook: logits (C, Z, Y, X) of an image (channels, Z, Y, X), by all folds."""
        return super().predict_logits_from_preprocessed_data(data)

    def export(self) -> HostExport:
        """Hook: what exports the image that was just predicted."""
        return HostExport()

    # ---- state ----

    @property
    def bare_network(self) -> Any:
        """The network without its DDP and compile wrappers."""
        return bare_network(self.network)

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Axes (0, 1, 2 for z, y, x) along which the model may be mirrored; none without test-time augmentation."""
        return tuple(self.allowed_mirroring_axes or ()) if self.use_mirroring else ()

    def autocast(self) -> AbstractContextManager[Any]:
        """Mixed precision where nnU-Net has it."""
        return torch.autocast(self.device.type) if self.device.type == "cuda" else nullcontext()

    # ---- where nnU-Net calls them ----

    def _internal_get_sliding_window_slicers(self, image_size: Sequence[int]) -> list[Tile]:
        return self.place_tiles(super()._internal_get_sliding_window_slicers(image_size))

    def _internal_predict_sliding_window_return_logits(
        self, data: Tensor, slicers: Sequence[Tile], do_on_device: bool = True
    ) -> Tensor:
        self._tiles = iter(slicers)  # nnU-Net works on them in this order, and doesn't say which one it is at
        self.begin_tiles(self.device if do_on_device else torch.device("cpu"))
        logits = super()._internal_predict_sliding_window_return_logits(data, slicers, do_on_device)
        self.end_tiles()
        return logits

    def _internal_maybe_mirror_and_predict(self, x: Tensor) -> Tensor:
        return self.predict_tile(x, next(self._tiles))

    def _manage_input_and_output_lists(
        self, folder_or_cases: str | list[list[str]], *args: Any, **kwargs: Any
    ) -> tuple[Any, Any, Any]:
        if isinstance(folder_or_cases, str):
            self.check_folder(Path(folder_or_cases))
        cases, outputs, previous = super()._manage_input_and_output_lists(folder_or_cases, *args, **kwargs)
        self.check_inputs([Path(file) for file in chain(*cases, previous) if file is not None])
        return cases, outputs, previous

    def predict_logits_from_preprocessed_data(self, data: Tensor) -> Tensor:
        """Logits (C, Z, Y, X) of an image (channels, Z, Y, X), by all folds."""
        logits = self.predict_image(data)
        if self._exports:  # what nnU-Net calls next, perhaps in another process, by the names it has imported
            export = self.export()
            setattr(predictor_module, _WRITE, export.write)
            setattr(predictor_module, _CONVERT, export.convert)
        return logits

    def predict_from_data_iterator(self, *args: Any, **kwargs: Any) -> Any:
        """As nnU-Net's, with :meth:`export`."""
        with self._exporting():
            return super().predict_from_data_iterator(*args, **kwargs)

    @wraps(nnUNetPredictor.predict_from_files_sequential)  # which looks for its arguments in the signature
    def predict_from_files_sequential(self, *args: Any, **kwargs: Any) -> Any:
        """As nnU-Net's, with :meth:`export`."""
        with self._exporting():
            return super().predict_from_files_sequential(*args, **kwargs)

    def predict_single_npy_array(self, *args: Any, **kwargs: Any) -> Any:
        """As nnU-Net's, with :meth:`export`."""
        with self._exporting():
            return super().predict_single_npy_array(*args, **kwargs)

    @contextmanager
    def _exporting(self) -> Iterator[None]:
        """Within the block nnU-Net exports each image by :meth:`export`; predictors in other threads have to wait."""
        with _ONE_AT_A_TIME:
            names = {name: getattr(predictor_module, name) for name in (_WRITE, _CONVERT)}
            before, self._exports = self._exports, True
            try:
                yield
            finally:
                self._exports = before
                for name, value in names.items():
                    setattr(predictor_module, name, value)


def predict_with(predictor: type[nnUNetPredictor]) -> None:
    """Run the command ``nnUNetv2_predict`` with another predictor."""
    with replaced(predictor_module, "nnUNetPredictor", predictor):
        predictor_module.predict_entry_point()
