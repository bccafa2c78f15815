"""The notebook of the docs, run from top to bottom in a kernel of its own."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

# Before the first cell that imports nnU-Net: heads of an eighth of the voxels, narrow layers, threads for processes.
FIRST_IMPORT = "from nnunetv2_focusnet.demo.phantom import"
SMALLER = """
from contextlib import ExitStack
from nnunet_in_process import threads_for_processes
from nnunetv2_focusnet.demo import phantom, plans

threads = ExitStack()
threads.enter_context(threads_for_processes())
phantom.SHAPE_ZYX, phantom.SPACING_MM_ZYX = (24, 48, 48), (5.0, 3.0, 3.0)
plans.PATCH_ZYX, plans.NARROWEST, plans.WIDEST = [16, 32, 32], 4, 8
"""


@pytest.fixture(scope="module")
def outputs(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    """What each code cell shows, by its first line; with fewer steps than in the docs, and smaller."""
    notebook = nbformat.read(repository / "docs" / "notebooks" / "focusnet_in_python.ipynb", as_version=4)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source += "\nEPOCHS, STEPS_PER_EPOCH = 3, 1"
    (first_import,) = (i for i, cell in enumerate(notebook.cells) if cell.source.startswith(FIRST_IMPORT))
    notebook.cells.insert(first_import, nbformat.v4.new_code_cell(SMALLER))
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("nnUNet_compile", "f")
        patch.setenv("nnUNet_def_n_proc", "1")
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return {cell.source.splitlines()[0]: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def test_runs_to_its_end_and_shows_model_card_and_picture(outputs: dict[str, list]) -> None:
    (card,) = outputs["from IPython.display import Markdown"]
    assert card.data["text/markdown"].startswith("# Dataset901_HeadPhantom: FewStepsTrainer, fold 0")
    (picture,) = outputs['draw_case(case, ["Lens_L", "OpticNerve_R"])']
    assert "image/png" in picture.data
    (predicted,) = outputs["sorted(path.name for path in predictions.iterdir())"]
    assert "Head_005.nii.gz" in predicted.data["text/plain"]
