"""Plans as nnU-Net makes them for a head-and-neck CT on a GPU, without a dataset: to count what a network costs.

18 organs with the mean sizes of real contours (22 patients, Nikolov et al. 2018, CC BY 4.0; chiasm and pituitary gland
from Brouwer et al. 2015's atlas), ten of them small.
"""

from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnunetv2_focusnet.organs.organ import Organ

# Volume in mm3 and extents (z, y, x) in mm.
ORGANS = {
    "Brainstem": (27500, (62, 32, 38)),
    "Eye_L": (8400, (26, 27, 28)),
    "Eye_R": (8400, (26, 27, 28)),
    "Mandible": (59600, (83, 99, 120)),
    "Parotid_L": (30500, (60, 57, 40)),
    "Parotid_R": (30500, (60, 57, 40)),
    "Submandibular_L": (9100, (41, 28, 24)),
    "Submandibular_R": (9100, (41, 28, 24)),
    "Lens_L": (200, (9.5, 4.5, 8.4)),
    "Lens_R": (200, (9.5, 4.5, 8.4)),
    "OpticNerve_L": (780, (11.5, 36, 23)),
    "OpticNerve_R": (780, (11.5, 36, 23)),
    "Cochlea_L": (70, (6.4, 4, 4.9)),
    "Cochlea_R": (70, (6.4, 4, 4.9)),
    "LacrimalGland_L": (620, (18, 14, 10)),
    "LacrimalGland_R": (620, (18, 14, 10)),
    "OpticChiasm": (400, (6, 10, 16)),
    "Pituitary": (400, (8, 9, 12)),
}
PATCH = (48, 192, 160)
FEATURES = (32, 64, 128, 256, 320)
ANISOTROPIC, ISOTROPIC = (1, 3, 3), (3, 3, 3)
SPACING_MM = {ANISOTROPIC: (2.5, 1.0, 1.0), ISOTROPIC: (1.5, 1.0, 1.0)}


def organs() -> list[Organ]:
    """All of them, sorted by label."""
    return [
        Organ(name, label, *ORGANS[name], num_cases=22, volume_range_mm3=(ORGANS[name][0],) * 2)
        for label, name in enumerate(ORGANS, 1)
    ]


def configuration(first_kernel: tuple[int, int, int]) -> ConfigurationManager:
    """What nnU-Net plans at 2.5 x 1 x 1 mm, or with isotropic kernels at 1.5 x 1 x 1 mm.

    Args:
        first_kernel: of the finest level; nnU-Net takes (1, 3, 3) where slices are more than twice as thick as pixels.
    """
    return ConfigurationManager(
        {
            "batch_size": 2,
            "patch_size": list(PATCH),
            "spacing": list(SPACING_MM[first_kernel]),
            "architecture": _plain_unet(first_kernel),
        }
    )


def _plain_unet(first_kernel: tuple[int, int, int]) -> dict[str, Any]:
    stages = len(FEATURES)
    first_stride = [1 if size == 1 else 2 for size in first_kernel]
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": list(FEATURES),
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [list(first_kernel), *[[3, 3, 3]] * (stages - 1)],
            "strides": [[1, 1, 1], first_stride, *[[2, 2, 2]] * (stages - 2)],
            "n_conv_per_stage": [2] * stages,
            "n_conv_per_stage_decoder": [2] * (stages - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
