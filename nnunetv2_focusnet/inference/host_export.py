"""nnU-Net's export of a predicted case; apart from the predictor, as processes that export alone need no more."""

from __future__ import annotations

from typing import Any

from nnunetv2.inference import export_prediction


class HostExport:
    """nnU-Net's two ways to end a case, perhaps in another process, to which it is sent."""

    def write(self, *args: Any) -> None:
        """Resample logits to the image's voxels and write its files; arguments are nnU-Net's."""
        export_prediction.export_prediction_from_logits(*args)

    def convert(self, *args: Any, **kwargs: Any) -> Any:
        """The label map on the image's voxels, or a pair of it and the probabilities; arguments are nnU-Net's."""
        return export_prediction.convert_predicted_logits_to_segmentation_with_correct_shape(*args, **kwargs)
