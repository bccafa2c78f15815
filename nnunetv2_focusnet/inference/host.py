"""nnU-Net's predictor as this package knows it: all that it relies on beyond documented methods is in this file.

``tests/inference/test_predictor_host.py`` has a test for each such thing, see :mod:`nnunetv2_focusnet.trainers.host`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import Any

import torch
from nnunetv2.inference import predict_from_raw_data as predictor_module
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.label_handling.label_handling import LabelManager
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor

from nnunetv2_focusnet.trainers.host import bare_network, replaced

Tile = Sequence[slice]


class HostPredictor(nnUNetPredictor):  # type: ignore[misc]
    """nnU-Net's predictor with the hooks that it lacks. By itself it predicts just as nnU-Net's does."""

    plans_manager: PlansManager
    configuration_manager: ConfigurationManager
    label_manager: LabelManager

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

    def finish_case(self, output: str | None, properties: Mapping[str, Any]) -> None:
        """Hook: a case was predicted.

        Args:
            output: path of its prediction without file ending; None: it isn't written.
            properties: of the image, as nnU-Net's preprocessing returns them.
        """

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

    def predict_from_data_iterator(self, data_iterator: Any, *args: Any, **kwargs: Any) -> Any:
        """As nnU-Net's; each case is finished before the next one is asked for."""

        def telling() -> Iterator[Any]:
            for case in data_iterator:
                yield case
                self.finish_case(case["ofile"], case["data_properties"])

        return super().predict_from_data_iterator(telling(), *args, **kwargs)

    @wraps(nnUNetPredictor.predict_from_files_sequential)  # which looks for its arguments in the signature
    def predict_from_files_sequential(self, *args: Any, **kwargs: Any) -> Any:
        """As nnU-Net's; each case is finished after its export."""
        with self._finished_after_export():
            return super().predict_from_files_sequential(*args, **kwargs)

    def predict_single_npy_array(self, *args: Any, **kwargs: Any) -> Any:
        """As nnU-Net's; the case is finished after its export, if it has one."""
        with self._finished_after_export():
            return super().predict_single_npy_array(*args, **kwargs)

    @contextmanager
    def _finished_after_export(self) -> Iterator[None]:
        export = predictor_module.export_prediction_from_logits

        def export_and_finish(logits: Any, properties: Any, *args: Any) -> None:
            export(logits, properties, *args)
            output = args[3]  # after configuration, plans and dataset.json
            self.finish_case(output, properties)

        with replaced(predictor_module, "export_prediction_from_logits", export_and_finish):
            yield


def predict_with(predictor: type[nnUNetPredictor]) -> None:
    """Run the command ``nnUNetv2_predict`` with another predictor."""
    with replaced(predictor_module, "nnUNetPredictor", predictor):
        predictor_module.predict_entry_point()
