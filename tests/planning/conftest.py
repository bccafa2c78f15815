"""The boxes, with nnU-Net's folders set to where they are."""

from pathlib import Path

import pytest
from boxes import use_folders, write_dataset


@pytest.fixture
def preprocessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of nnUNet_preprocessed in which the boxes' fingerprint is."""
    for name, folder in use_folders(tmp_path).items():
        monkeypatch.setenv(name, folder)
    return write_dataset(tmp_path)
