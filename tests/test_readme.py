"""What README promises: its lines of Python run, its trainers are there, its drawing is what its script draws."""

import re
from pathlib import Path
from runpy import run_path

import pytest
import SimpleITK as sitk
import torch
from matplotlib.image import imread

from nnunetv2_focusnet.demo.demo import DATASET
from nnunetv2_focusnet.demo.phantom import LABELS, write_phantom_dataset


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


def test_lines_of_python_run_as_they_say(readme):
    (lines,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    names: dict = {}
    exec(lines, names)
    assert names["logits"].shape == (1, 4, 32, 64, 64)  # as the last line's comment says
    assert torch.isfinite(names["logits"]).all()


def test_trainers_are_those_that_nnunet_finds(readme, repository):
    found = run_path(str(repository / "nnunetv2_focusnet" / "_discovery" / "nnunetv2_focusnet_trainers.py"))["__all__"]
    named = set(re.findall(r"\b\w+Trainer\w*", readme)) - {"nnUNetTrainer"}
    assert {"FocusNetTrainer", "FocusNetTrainerZoom", "SNetTrainer"} <= named <= set(found)


def test_pictures_are_there(readme, repository):
    pictures = re.findall(r'<img src="([^"]+)"', readme)
    assert "docs/pictures/network.svg" in pictures
    assert [picture for picture in pictures if not (repository / picture).is_file()] == []


def test_drawing_is_what_its_script_draws(repository, tmp_path, monkeypatch):
    folder, drawn = repository / "docs" / "pictures", tmp_path / "network.svg"
    monkeypatch.setattr("sys.argv", ["draw_network.py", str(drawn)])
    run_path(str(folder / "draw_network.py"), run_name="__main__")
    assert drawn.read_text(encoding="utf-8") == (folder / "network.svg").read_text(encoding="utf-8")


def test_result_shows_what_each_model_predicts(repository, tmp_path, monkeypatch, capsys):
    """Of stock without small organs, and of FocusNet as good as the truth but for one of three cases."""
    raw = tmp_path / "nnUNet_raw" / DATASET
    raw.parent.mkdir()
    write_phantom_dataset(raw, 0, 3)
    small = [label for name, label in LABELS.items() if name.startswith(("Lens", "OpticNerve"))]
    for file in (raw / "labelsTs").iterdir():
        truth = sitk.ReadImage(file)
        without = sitk.ChangeLabel(truth, dict.fromkeys(small, 0))
        for model, prediction in (("stock", without), ("focusnet", without if "001" in file.name else truth)):
            (tmp_path / "predictions" / model).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(prediction, tmp_path / "predictions" / model / file.name)

    monkeypatch.setattr("sys.argv", ["draw_result.py", str(tmp_path), str(tmp_path / "result.png")])
    run_path(str(repository / "docs" / "pictures" / "draw_result.py"), run_name="__main__")
    assert "Head_001" not in capsys.readouterr().out  # the worst of the three isn't the median
    red, green, blue = imread(tmp_path / "result.png")[:1000, :, :3].transpose(2, 0, 1)  # the key is below
    yellow = (red > 0.7) & (green > 0.7) & (blue < 0.6)  # the colour of lenses
    stock, focusnet = yellow[:, :500].sum(), yellow[:, 500:].sum()
    assert stock == 0 < focusnet
