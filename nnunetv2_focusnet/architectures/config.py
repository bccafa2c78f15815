"""Everything that decides what a FocusNet predicts, besides its weights: what a model's plans say of its network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from nnunetv2_focusnet.system.json_objects import as_json, from_json

# Raise it whenever the same numbers would build another network: what isn't a number here (squeeze-and-excitation's
# reduction, nonlinearities, order of layers) is part of the format.
FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class SNetConfig:
    """Sizes of S-Net. All per-axis values are (z, y, x).

    Attributes:
        features_per_stage: channels at full resolution and below the one downsampling.
        kernel_sizes: odd sizes at full resolution and below.
        stride: the one downsampling.
        dilations: DenseASPP's rates, one triple per layer, in voxels below the downsampling.
        n_blocks: SEResBlocks below the downsampling and before DenseASPP, the downsampling one included.
        kind: tells it apart from other main networks in plans.json.
    """

    features_per_stage: tuple[int, int] = (32, 64)
    kernel_sizes: tuple[tuple[int, int, int], tuple[int, int, int]] = ((3, 3, 3), (3, 3, 3))
    stride: tuple[int, int, int] = (2, 2, 2)
    dilations: tuple[tuple[int, int, int], ...] = ((3, 3, 3), (6, 6, 6), (12, 12, 12), (18, 18, 18))
    n_blocks: int = 3
    kind: Literal["S-Net"] = "S-Net"


@dataclass(frozen=True, kw_only=True)
class SEResUNetConfig:
    """Sizes of SERes U-Net. All per-axis values are (z, y, x).

    Attributes:
        features_per_stage: channels at full resolution and below each downsampling.
        kernel_sizes: odd sizes there.
        strides: of each downsampling, one at least.
        n_blocks: SEResBlocks below the last downsampling, the downsampling one included; all other levels have one in
            the encoder and one in the decoder.
        kind: tells it apart from other main networks in plans.json.
    """

    features_per_stage: tuple[int, ...]
    kernel_sizes: tuple[tuple[int, int, int], ...]
    strides: tuple[tuple[int, int, int], ...]
    n_blocks: int = 3
    kind: Literal["SERes U-Net"] = "SERes U-Net"


@dataclass(frozen=True, kw_only=True)
class DeepLabConfig:
    """Sizes of DeepLab v3+. All per-axis values are (z, y, x).

    Attributes:
        features_per_stage: channels below each downsampling, and of the last level, which is dilated instead.
        kernel_sizes: odd sizes at full resolution and below each downsampling.
        strides: of each downsampling, one at least.
        last_dilation: of the last level, in voxels below the last downsampling.
        dilations: ASPP's rates, one triple per branch, in the same voxels.
        aspp_features: channels of ASPP.
        low_level_features: channels that the first level is brought to for the decoder.
        decoder_features: channels of the decoder.
        n_blocks: residual blocks per level.
        kind: tells it apart from other main networks in plans.json.
    """

    features_per_stage: tuple[int, ...]
    kernel_sizes: tuple[tuple[int, int, int], ...]
    strides: tuple[tuple[int, int, int], ...]
    last_dilation: tuple[int, int, int]
    dilations: tuple[tuple[int, int, int], ...]
    aspp_features: int
    low_level_features: int
    decoder_features: int
    n_blocks: int = 2
    kind: Literal["DeepLab v3+"] = "DeepLab v3+"


@dataclass(frozen=True, kw_only=True)
class AnatomyNetConfig:
    """Sizes of AnatomyNet. All per-axis values are (z, y, x).

    Attributes:
        features_per_stage: channels of the downsampling, and of each level after it, all of one resolution.
        kernel_sizes: odd sizes at full resolution and below.
        stride: the one downsampling.
        n_blocks: SEResBlocks per level.
        kind: tells it apart from other main networks in plans.json.
    """

    features_per_stage: tuple[int, ...]
    kernel_sizes: tuple[tuple[int, int, int], tuple[int, int, int]]
    stride: tuple[int, int, int]
    n_blocks: int = 2
    kind: Literal["AnatomyNet"] = "AnatomyNet"


MainConfig: TypeAlias = SNetConfig | SEResUNetConfig | DeepLabConfig | AnatomyNetConfig
_MAIN_CONFIGS: dict[str, type[MainConfig]] = {
    config.kind: config for config in (SNetConfig, SEResUNetConfig, DeepLabConfig, AnatomyNetConfig)
}


@dataclass(frozen=True, kw_only=True)
class ZoomConfig:
    """Small organs on a finer grid than the main network's. All per-axis values are (z, y, x).

    Attributes:
        stride: voxels of the image per voxel of the main network's grid.
        features: channels of a SOS-Net on the image's grid, and on the main network's.
    """

    stride: tuple[int, int, int]
    features: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class PairsConfig:
    """Small organs that share their SOS-Net.

    Attributes:
        organs: of each pair the indices among the small organs, the left one first; their ROIs are equally large.
        mirror_axis: axis (0, 1, 2 for z, y, x) along which the right one's ROI is mirrored.
    """

    organs: tuple[tuple[int, int], ...]
    mirror_axis: int


@dataclass(frozen=True, kw_only=True)
class FocusNetConfig:
    """A FocusNet, but for its numbers of image channels and classes. All per-axis values are (z, y, x).

    Attributes:
        main: the main network's sizes; None: it is the one that the plans name.
        small_organs: class channel of each of the K small organs; none: the main network is all there is, as with any
            ``main`` but S-Net.
        roi_sizes: ROI of each small organ in voxels.
        kernel_size: odd size of the kernels of SOL-Net and SOS-Nets.
        sol_level: layer of the main network's decoder that SOL-Net reads, 0 being the last, at full resolution.
        sol_features: channels of SOL-Net; None: as many as the layer it reads.
        sol_blocks: SEResBlocks of SOL-Net; the paper has two.
        sos_features: channels of the SOS-Nets; None: as many as the main network has at full resolution.
        sos_blocks: SEResBlocks of each SOS-Net.
        sos_squeeze: a 1x1x1 convolution first brings what a SOS-Net reads to its own width.
        sos_corrects_main: SOS-Nets also read the main network's own log-odds of their organ, and correct them.
        gradient_to_main: factor on the gradient that SOL-Net and SOS-Nets send into the main network.
        detection_threshold: below this peak of the heat map the organ isn't in the image. The peak is 1 only where the
            centre is certain: for one that is uncertain by as much as the target's own width, the squared error is
            smallest at 2^-1.5.
        jitter: largest shift of an ROI from its organ's centre in training, in voxels.
        zoom: SOS-Nets work on a finer grid than the main network; None: on its own. With it, the attributes that begin
            with ``sos_`` mean nothing.
        pairs: left and right organs that share a SOS-Net; None: each organ has its own, as in the paper.
        logit_outside_roi: of a detected organ outside its ROI; -10 is a probability of 5e-5, and far from the limits
            of half precision.
    """

    main: MainConfig | None = SNetConfig()
    small_organs: tuple[int, ...] = ()
    roi_sizes: tuple[tuple[int, int, int], ...] = ()
    kernel_size: tuple[int, int, int] = (3, 3, 3)
    sol_level: int = 0
    sol_features: int | None = None
    sol_blocks: int = 2
    sos_features: int | None = None
    sos_blocks: int = 2
    sos_squeeze: bool = False
    sos_corrects_main: bool = False
    gradient_to_main: float = 1.0
    detection_threshold: float = 0.2
    logit_outside_roi: float = -10.0
    jitter: tuple[int, int, int] = (0, 0, 0)
    zoom: ZoomConfig | None = None
    pairs: PairsConfig | None = None

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the small organs that each SOS-Net segments: the pairs, then each other organ alone."""
        paired = self.pairs.organs if self.pairs else ()
        taken = {k for pair in paired for k in pair}
        return (*paired, *((k,) for k in range(len(self.small_organs)) if k not in taken))

    def as_json(self) -> dict[str, Any]:
        """What goes into plans.json."""
        return {"format": FORMAT, **as_json(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> FocusNetConfig:
        """The network of a trained model.

        Args:
            content: as :meth:`as_json` wrote it.

        Raises:
            ValueError: it has another format, or isn't what was written.
        """
        values = dict(content)
        if (found := values.pop("format", None)) != FORMAT:
            raise ValueError(
                f"plans.json describes FocusNet's network in format {found}, but this version of nnunetv2-focusnet "
                f"reads format {FORMAT}: predict with the version that the model was trained with, or train it again."
            )
        try:
            if values.get("main") is not None:
                values["main"] = _main_from_json(values["main"])
            if values.get("zoom") is not None:
                values["zoom"] = from_json(ZoomConfig, values["zoom"])
            if values.get("pairs") is not None:
                values["pairs"] = from_json(PairsConfig, values["pairs"])
            return from_json(cls, values)
        except TypeError as error:
            raise ValueError(
                f"plans.json doesn't describe FocusNet's network as it was written ({error}): "
                "take the plans.json that was saved with the model."
            ) from None


def _main_from_json(content: Any) -> MainConfig:
    if not isinstance(content, dict) or content.get("kind") not in _MAIN_CONFIGS:
        raise TypeError(f"main is none of {', '.join(_MAIN_CONFIGS)} but {content!r}")
    return from_json(_MAIN_CONFIGS[content["kind"]], content)
