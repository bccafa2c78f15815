"""Layouts of the data sets that ``nnUNetv2_focusnet_convert`` reads."""

from nnunetv2_focusnet.datasets.layouts.base import Layout
from nnunetv2_focusnet.datasets.layouts.dicom_rt import DicomRT
from nnunetv2_focusnet.datasets.layouts.hanseg import HanSeg
from nnunetv2_focusnet.datasets.layouts.pddca import Pddca
from nnunetv2_focusnet.datasets.layouts.segrap import SegRap
from nnunetv2_focusnet.datasets.layouts.structseg import StructSeg
from nnunetv2_focusnet.datasets.layouts.tcia_deepmind import TciaDeepMind

LAYOUTS: dict[str, type[Layout]] = {
    layout.name: layout for layout in (Pddca, TciaDeepMind, HanSeg, StructSeg, SegRap, DicomRT)
}
