"""Published figures to stand beside one's own: never measured here, and on test cases of their own."""

from __future__ import annotations

from nnunetv2_focusnet.organ_names import words_and_side

FILLERS = {"optic", "gland", "organ"}  # so that OpticChiasm meets Chiasm; a nerve of a head is the optic one

PDDCA_ORGANS = (
    *("BrainStem", "Chiasm", "Mandible", "OpticNerve_L", "OpticNerve_R"),
    *("Parotid_L", "Parotid_R", "Submandibular_L", "Submandibular_R"),
)
# DSC in % and HD95 in mm, means over the 10 off-site test cases of MICCAI 2015, as tables 3 and 5 of the FocusNet paper
# have them; without the methods that have figures for some of the organs alone.
PDDCA_DSC = {
    "MICCAI 2015 best": (88.0, 55.7, 93.0, 64.4, 63.9, 82.7, 81.4, 72.3, 72.3),
    "AnatomyNet": (86.7, 53.2, 92.5, 72.1, 70.6, 88.1, 87.4, 81.4, 81.3),
    "S-Net": (86.8, 57.4, 92.5, 71.8, 71.9, 86.1, 87.8, 79.4, 79.7),
    "FocusNet": (87.5, 59.6, 93.5, 73.5, 74.4, 86.3, 87.9, 79.8, 80.1),
}
PDDCA_HD95_MM: dict[str, tuple[float, ...]] = {
    "MICCAI 2015 best": (4.59, 2.78, 1.97, 2.76, 3.15, 5.11, 6.13, 5.35, 5.42),
    "AnatomyNet": (6.42, 5.76, 6.28, 4.85, 4.77, 9.31, 10.08, 7.01, 6.02),
    "FocusNet": (2.14, 3.16, 1.18, 3.76, 2.65, 2.52, 2.07, 2.67, 3.41),
}
TABLES: dict[str, dict[str, tuple[float, ...]]] = {
    "dsc": {method: tuple(percent / 100 for percent in values) for method, values in PDDCA_DSC.items()},
    "hd95_mm": PDDCA_HD95_MM,
}


def published_means(metric: str, organs: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """A metric by method and by those of the given organs that PDDCA has, whatever the spelling of their names."""
    columns = {_canonical(name): i for i, name in enumerate(PDDCA_ORGANS)}
    known = {organ: columns[_canonical(organ)] for organ in organs if _canonical(organ) in columns}
    return {
        method: {organ: values[column] for organ, column in known.items()}
        for method, values in TABLES.get(metric, {}).items()
        if known
    }


def _canonical(name: str) -> tuple[str, str]:
    """Words without their side, and the side."""
    words, side = words_and_side(name)
    return "".join(word for word in words if word not in FILLERS), side
