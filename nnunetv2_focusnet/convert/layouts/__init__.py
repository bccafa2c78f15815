"""Layouts of the datasets that ``nnUNetv2_focusnet_convert`` reads."""

from nnunetv2_focusnet.convert.layouts.base import Layout
from nnunetv2_focusnet.convert.layouts.dicom_rt import DicomRT
from nnunetv2_focusnet.convert.layouts.hanseg import HanSeg
from nnunetv2_focusnet.convert.layouts.pddca import Pddca
from nnunetv2_focusnet.convert.layouts.segrap import SegRap
from nnunetv2_focusnet.convert.layouts.structseg import StructSeg
from nnunetv2_focusnet.convert.layouts.tcia_deepmind import TciaDeepMind

LAYOUTS: dict[str, type[Layout]] = {
    layout.name: layout for layout in (Pddca, TciaDeepMind, HanSeg, StructSeg, SegRap, DicomRT)
}
