"""Published figures to stand beside one's own: never measured here, and on test cases of their own."""

from __future__ import annotations

from collections.abc import Sequence

from nnunetv2_focusnet.organs.names import words_and_side

FILLERS = {"optic", "gland", "organ"}  # so that OpticChiasm meets Chiasm; a nerve of a head is the optic one

PDDCA_ORGANS = (
    *("BrainStem", "Chiasm", "Mandible", "OpticNerve_L", "OpticNerve_R"),
    *("Parotid_L", "Parotid_R", "Submandibular_L", "Submandibular_R"),
)
# Means over the 10 off-site test cases of MICCAI 2015, as the FocusNet paper has them: DSC in % in table 3, HD95 in mm
# in table 5, where S-Net has no row. UaNet (Tang et al. 2019) is left out, as its means are over 15 cases, these 10 and
# the 5 on-site ones; FocusNetv2 (Gao et al. 2021), as its own table couldn't be read.
PDDCA: dict[str, dict[str, tuple[float, ...]]] = {
    "dsc": {
        "MICCAI 2015 best": (88.0, 55.7, 93.0, 64.4, 63.9, 82.7, 81.4, 72.3, 72.3),
        "AnatomyNet": (86.7, 53.2, 92.5, 72.1, 70.6, 88.1, 87.4, 81.4, 81.3),
        "S-Net": (86.8, 57.4, 92.5, 71.8, 71.9, 86.1, 87.8, 79.4, 79.7),
        "FocusNet": (87.5, 59.6, 93.5, 73.5, 74.4, 86.3, 87.9, 79.8, 80.1),
    },
    "hd95_mm": {
        "MICCAI 2015 best": (4.59, 2.78, 1.97, 2.76, 3.15, 5.11, 6.13, 5.35, 5.42),
        "AnatomyNet": (6.42, 5.76, 6.28, 4.85, 4.77, 9.31, 10.08, 7.01, 6.02),
        "FocusNet": (2.14, 3.16, 1.18, 3.76, 2.65, 2.52, 2.07, 2.67, 3.41),
    },
}
UNITS = {"dsc": 100.0, "hd95_mm": 1.0}


def published_means(organs: Sequence[str], metric: str) -> dict[str, dict[str, float]]:
    """Published means of a metric by method and by those of the given organs that PDDCA has, however they are spelt.

    DSC are from 0 to 1, HD95 in mm; metrics without published figures have no methods.
    """
    columns = {canonical(name): i for i, name in enumerate(PDDCA_ORGANS)}
    known = {organ: columns[canonical(organ)] for organ in organs if canonical(organ) in columns}
    return {
        method: {organ: values[column] / UNITS[metric] for organ, column in known.items()}
        for method, values in PDDCA.get(metric, {}).items()
        if known
    }


def canonical(name: str) -> tuple[str, str]:
    """Words without their side, and the side."""
    words, side = words_and_side(name)
    return "".join(word for word in words if word not in FILLERS), side
