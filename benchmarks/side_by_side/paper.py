"""The paper's tables 1 and 2 (Gao et al., MICCAI 2019): its systems as trainers, its figures, and its orderings."""

from dataclasses import dataclass
from statistics import fmean

from nnunetv2_focusnet.compare.published import canonical

ATLAS = "Atlas"  # no trainer
ALL, SMALL = "all organs", "small organs"

# Table 1: DSC in % of 10 cases, mean and standard deviation.
TABLE_1_TRAINERS = {
    "Atlas-based": ATLAS,
    "SERes U-Net": "SEResUNetTrainer",
    "DeepLab": "DeepLabV3PlusTrainer",
    "Ours": "FocusNetTrainer",
}
TABLE_1 = {
    "Brainstem": ((80.6, 1.7), (79.2, 1.8), (84.0, 1.2), (85.8, 1.4)),
    "Eye_L": ((78.7, 3.5), (86.1, 2.6), (86.7, 2.2), (87.6, 0.8)),
    "Eye_R": ((83.9, 3.4), (88.2, 1.6), (90.5, 0.6), (91.2, 0.9)),
    "OralCavity": ((75.2, 13.1), (81.0, 10.6), (77.7, 16.2), (79.2, 3.5)),
    "Parotid_L": ((80.6, 4.3), (75.1, 6.4), (78.8, 4.0), (77.2, 4.2)),
    "Parotid_R": ((80.7, 3.2), (79.8, 1.7), (81.7, 3.0), (80.0, 3.1)),
    "Larynx": ((64.0, 29.1), (62.8, 28.9), (67.7, 29.6), (65.8, 29.3)),
    "SpinalCord": ((82.4, 2.1), (85.9, 2.0), (85.2, 2.2), (87.4, 1.9)),
    "Lens_L": ((24.0, 8.3), (60.8, 4.2), (59.2, 8.4), (80.8, 4.7)),
    "Lens_R": ((26.9, 1.5), (57.1, 6.2), (64.3, 6.6), (79.0, 6.4)),
    "OpticNerve_L": ((47.7, 10.6), (56.0, 3.7), (52.7, 9.9), (63.9, 3.9)),
    "OpticNerve_R": ((48.5, 6.0), (49.3, 9.5), (57.1, 21.4), (61.7, 12.1)),
    "OpticChiasm": ((54.8, 9.0), (54.0, 7.6), (55.6, 11.3), (63.8, 11.4)),
    "Pituitary": ((44.6, 12.0), (67.6, 12.7), (78.1, 10.8), (76.9, 7.2)),
    "MiddleEar_L": ((56.4, 9.7), (55.2, 15.6), (51.9, 25.3), (56.7, 16.7)),
    "MiddleEar_R": ((56.2, 14.5), (47.4, 13.4), (46.6, 21.8), (52.2, 20.9)),
    "TMJ_L": ((46.9, 14.1), (56.5, 8.1), (64.7, 3.9), (58.4, 7.3)),
    "TMJ_R": ((50.3, 18.8), (55.1, 12.1), (66.1, 8.4), (57.2, 5.6)),
}
LARGE_IN_PAPER = 8  # organs above the dashed line
TABLE_1_AVERAGES = (62.3, 66.5, 69.4, 72.5)  # as printed; the atlas's column has a mean of 60.1
SAME_ORGAN = {"orbit": "eye"}  # as the contours of han-sim call it

# Table 2: mean DSC in %, over all organs and over small ones alone.
TABLE_2 = {
    ALL: {
        "SERes U-Net CE Loss": ("SEResUNetTrainer_CE", 60.2),
        "SERes U-Net 1-ds": ("SEResUNetTrainer_1ds_CE", 63.5),
        "SERes U-Net 2-ds": ("SEResUNetTrainer_2ds_CE", 63.3),
        "SERes U-Net 3-ds": ("SEResUNetTrainer_3ds_CE", 61.9),
        "SERes U-Net+FL": ("SEResUNetTrainer_1ds_FL", 64.4),
        "SERes U-Net+FL+DL": ("SEResUNetTrainer_1ds", 69.2),
        "S-Net": ("SNetTrainer", 70.6),
        "FocusNet": ("FocusNetTrainer", 72.5),
        "Fat U-Net": ("FatUNetTrainer", 70.5),
    },
    SMALL: {
        "S-Net": ("SNetTrainer", 61.5),
        "FocusNet ROI Size 2x": ("FocusNetTrainer_ROI2x", 63.9),
        "FocusNet ROI Size 3x": ("FocusNetTrainer", 65.0),
        "FocusNet ROI Size 5x": ("FocusNetTrainer_ROI5x", 64.5),
    },
}
# The rival of table 3, and what users have; nnUNetTrainer itself mixes up left and right, and is slower on a CPU.
BESIDE_THE_TABLES = ("AnatomyNetTrainer", "StockTrainer")
FAMILY = tuple(
    dict.fromkeys(
        [
            *(trainer for rows in TABLE_2.values() for trainer, _ in rows.values()),
            *(trainer for trainer in TABLE_1_TRAINERS.values() if trainer != ATLAS),
            *BESIDE_THE_TABLES,
        ]
    )
)


def published(organ: str) -> tuple[tuple[float, float], ...] | None:
    """Table 1's line of an organ, however it is spelt; None if there is none."""
    word, side = canonical(organ)
    lines = {canonical(name): figures for name, figures in TABLE_1.items()}
    return lines.get((SAME_ORGAN.get(word, word), side))


@dataclass(frozen=True)
class Ordering:
    """What the paper says: one system's mean DSC is higher than another one's.

    Attributes:
        claim: in words.
        better: row that is said to be better.
        worse: row that it is better than.
        group: organs over which the mean is.
        published: the paper's figures of both in %; None where it gives none for this group.
    """

    claim: str
    better: str
    worse: str
    group: str
    published: tuple[float, float] | None


def orderings() -> list[Ordering]:
    """Those of tables 1 and 2, in the paper's order of argument."""
    of_all, of_small = (dict(rows.values()) for rows in TABLE_2.values())

    def in_table_2(claim: str, better: str, worse: str, group: str = ALL) -> Ordering:
        figures = of_all if group == ALL else of_small
        known = (figures[better], figures[worse]) if {better, worse} <= figures.keys() else None
        return Ordering(claim, better, worse, group, known)

    def in_table_1(system: str, other: str, group: str) -> Ordering:
        names = list(TABLE_1_TRAINERS)
        columns = [names.index(name) for name in (system, other)]
        if group == ALL:
            figures = [TABLE_1_AVERAGES[column] for column in columns]
        else:
            small = list(TABLE_1.values())[LARGE_IN_PAPER:]
            figures = [round(fmean(line[column][0] for line in small), 1) for column in columns]
        better, worse = TABLE_1_TRAINERS[system], TABLE_1_TRAINERS[other]
        claim = f"{system} beats {other}".replace("Ours", "FocusNet").replace("Atlas-based", "the atlas")
        return Ordering(claim, better, worse, group, (figures[0], figures[1]))

    base, unet = "SEResUNetTrainer_CE", "SEResUNetTrainer_{}ds_CE"
    return [
        in_table_2("1-ds beats 4-ds", unet.format(1), base),
        in_table_2("1-ds beats 2-ds", unet.format(1), unet.format(2)),
        in_table_2("2-ds beats 3-ds", unet.format(2), unet.format(3)),
        in_table_2("3-ds beats 4-ds", unet.format(3), base),
        in_table_2("focal loss helps", "SEResUNetTrainer_1ds_FL", unet.format(1)),
        in_table_2("Dice loss helps", "SEResUNetTrainer_1ds", "SEResUNetTrainer_1ds_FL"),
        in_table_2("S-Net beats SERes U-Net", "SNetTrainer", "SEResUNetTrainer_1ds"),
        in_table_2("S-Net beats SERes U-Net", "SNetTrainer", "SEResUNetTrainer_1ds", SMALL),
        in_table_2("FocusNet beats S-Net", "FocusNetTrainer", "SNetTrainer"),
        in_table_2("FocusNet beats S-Net", "FocusNetTrainer", "SNetTrainer", SMALL),
        in_table_2("FocusNet beats Fat U-Net", "FocusNetTrainer", "FatUNetTrainer"),
        in_table_2("FocusNet beats Fat U-Net", "FocusNetTrainer", "FatUNetTrainer", SMALL),
        in_table_2("ROI 3x beats 2x", "FocusNetTrainer", "FocusNetTrainer_ROI2x", SMALL),
        in_table_2("ROI 3x beats 5x", "FocusNetTrainer", "FocusNetTrainer_ROI5x", SMALL),
        in_table_1("Ours", "SERes U-Net", ALL),
        in_table_1("Ours", "DeepLab", ALL),
        in_table_1("SERes U-Net", "Atlas-based", SMALL),
        in_table_1("DeepLab", "Atlas-based", SMALL),
        in_table_1("Ours", "Atlas-based", SMALL),
    ]
