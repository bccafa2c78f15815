"""Layouts of the data sets that ``nnUNetv2_focusnet_convert`` reads."""

from nnunetv2_focusnet.datasets.layouts.base import Layout

LAYOUTS: dict[str, type[Layout]] = {layout.name: layout for layout in ()}  # type: ignore[var-annotated]
