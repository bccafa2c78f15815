"""What nnU-Net reads beside the images of a converted dataset."""

import json
from pathlib import Path

import pytest

from nnunetv2_focusnet.convert.layouts.pddca import Pddca
from nnunetv2_focusnet.convert.raw_dataset import ConvertedCase, RawDataset, write_description


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_of_organs_are_the_same_in_every_locale(tmp_path: Path, encoding: str) -> None:
    """nnU-Net opens dataset.json in the encoding of the locale."""
    organ = "Speicheldrüse_links"
    dataset = RawDataset(
        tmp_path, (organ,), num_channels=1, file_ending=".nii.gz", symlink=False, resample_labels=False
    )
    write_description(dataset, Pddca(), "Dataset042_Heads", [ConvertedCase("0522c0001", "train", {organ: 8})], "1.0")
    description = json.loads((tmp_path / "dataset.json").read_text(encoding))
    assert description["labels"] == {"background": 0, organ: 1}
