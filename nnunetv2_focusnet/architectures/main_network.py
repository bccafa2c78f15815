"""What FocusNet asks of its main network, which segments all organs."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from nnunetv2_focusnet.architectures.blocks import Triple


class MainFeatures(NamedTuple):
    """What the small-organ networks read from the main network."""

    encoder: Tensor
    """(B, features, Z, Y, X), first layer of the encoder, for its high resolution."""
    decoder: Sequence[Tensor]
    """Layers of the decoder at several scales, the last one first, which has the shape (B, features, Z, Y, X)."""


class MainNetwork(Protocol):
    """A network like :class:`nnunetv2_focusnet.architectures.snet.SNet`."""

    input_channels: int
    features_per_stage: Sequence[int]
    """Channels of each layer in ``MainFeatures.decoder``; the encoder's layer has as many as the first."""
    strides: Sequence[Triple]
    """Voxels (z, y, x) of the image per voxel of each of these layers."""

    @property
    def decoder(self) -> Any:
        """Its ``deep_supervision`` tells whether there are coarser logits, too."""

    def features(self, x: Tensor) -> MainFeatures:
        """Features for an image in shape (B, input_channels, Z, Y, X)."""

    def classify(self, decoder_features: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Logits (B, num_classes, Z, Y, X); with deep supervision a list of them, then of coarser ones."""


def as_list(parts: Any) -> list[Any]:
    """Logits or targets of all resolutions, the finest first; without deep supervision there is just one."""
    return list(parts) if isinstance(parts, list | tuple) else [parts]


def finest(parts: Any) -> Any:
    """The logits or target that have the patch's resolution."""
    return as_list(parts)[0]
