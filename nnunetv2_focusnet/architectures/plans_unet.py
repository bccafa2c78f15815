"""The U-Net that nnU-Net's plans name, as FocusNet's main network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nnunetv2_focusnet.architectures.blocks import Triple
from nnunetv2_focusnet.architectures.main_network import MainFeatures


class PlansUNet(nn.Module):
    """A U-Net of dynamic_network_architectures whose features the small-organ networks can read.

    Its own forward keeps them to itself; encoder, decoder and segmentation layers are the given network's.

    Args:
        unet: with ``encoder`` and ``decoder`` as PlainConvUNet and ResidualEncoderUNet have them.
        input_channels: image channels.
    """

    unet: Any  # dynamic_network_architectures has no types
    features_per_stage: Sequence[int]
    strides: Sequence[Triple]

    def __init__(self, unet: nn.Module, input_channels: int) -> None:
        super().__init__()
        self.unet = unet
        self.input_channels = input_channels
        self.features_per_stage = tuple(self.unet.encoder.output_channels[:-1])  # the deepest stage has no decoder
        self.strides = np.cumprod(self.unet.encoder.strides, 0)[:-1].tolist()

    @property
    def decoder(self) -> Any:
        """The U-Net's decoder, where nnU-Net switches deep supervision on and off."""
        return self.unet.decoder

    def features(self, x: Tensor) -> MainFeatures:
        """First encoder features and those of every decoder stage for an image (B, input_channels, Z, Y, X)."""
        *skips, low = self.unet.encoder(x)
        decoded = []
        for upsample, stage, skip in zip(self.decoder.transpconvs, self.decoder.stages, reversed(skips), strict=True):
            low = stage(torch.cat([upsample(low), skip], 1))
            decoded.append(low)
        return MainFeatures(skips[0], decoded[::-1])

    def classify(self, decoder_features: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Logits at full resolution, or with deep supervision of every stage, full resolution first."""
        layers = reversed(self.decoder.seg_layers)
        if not self.decoder.deep_supervision:
            return next(layers)(decoder_features[0])
        return [layer(features) for layer, features in zip(layers, decoder_features, strict=True)]
