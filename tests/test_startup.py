"""Registration, in interpreters that process no .pth file (-S), so that nothing has registered before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnunetv2_focusnet._startup import discovery_folder

IMPORTS = ["import nnunetv2_focusnet", "import nnunetv2_focusnet._startup as s; s.register()"]
PRINT_VARIABLE = "import os; print(os.environ.get('nnUNet_extTrainer'), end='')"


@pytest.fixture
def python(plain_environment: dict[str, str]):
    def run(code: str, **environment: str) -> str:
        environment = {**plain_environment, "PYTHONPATH": str(Path(discovery_folder()).parents[1]), **environment}
        command = [sys.executable, "-S", "-c", code]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    return run


@pytest.mark.parametrize("registration", IMPORTS)
def test_sets_an_absent_or_empty_variable(python, registration):
    assert python(f"{registration}; {PRINT_VARIABLE}") == discovery_folder()
    assert python(f"{registration}; {PRINT_VARIABLE}", nnUNet_extTrainer="") == discovery_folder()


def test_keeps_the_folders_of_the_user_first(python):
    folders = os.pathsep.join(["/my trainers", "/other"])
    registered = python(f"{IMPORTS[0]}; {PRINT_VARIABLE}", nnUNet_extTrainer=folders)
    assert registered.split(os.pathsep) == ["/my trainers", "/other", discovery_folder()]


def test_registers_once(python):
    assert python(f"{IMPORTS[1]}; s.register(); s.register(); {PRINT_VARIABLE}") == discovery_folder()
    child = python(f"{IMPORTS[0]}; {PRINT_VARIABLE}", nnUNet_extTrainer=discovery_folder())
    assert child == discovery_folder()


def test_leaves_a_folder_where_the_user_put_it(python):
    folders = os.pathsep.join([discovery_folder(), "/mine"])
    assert python(f"{IMPORTS[0]}; {PRINT_VARIABLE}", nnUNet_extTrainer=folders) == folders


@pytest.mark.parametrize("theirs", ["/a/nnunetv2_focusnet/_discovery", "/b/nnunetv2_focusnet/_discovery/"])
def test_takes_the_place_of_the_folders_of_other_installations(python, theirs):
    """Their re-exports would be looked up in this installation's package."""
    folders = os.pathsep.join(["/mine", theirs, "/my_nnunetv2_focusnet/_discovery", theirs, "/other"])
    registered = python(f"{IMPORTS[0]}; {PRINT_VARIABLE}", nnUNet_extTrainer=folders)
    kept = ["/mine", discovery_folder(), "/my_nnunetv2_focusnet/_discovery", "/other"]
    assert registered.split(os.pathsep) == kept


@pytest.mark.parametrize("registration", IMPORTS)
def test_opt_out(python, registration):
    code = f"{registration}; {PRINT_VARIABLE}"
    assert python(code, NNUNETV2_FOCUSNET_NO_AUTOREGISTER="1") == "None"
    assert python(code, NNUNETV2_FOCUSNET_NO_AUTOREGISTER="1", nnUNet_extTrainer="/mine") == "/mine"


def test_loads_nothing_but_itself(python):
    code = f"import os, sys; before = set(sys.modules); {IMPORTS[1]}; print(*sorted(set(sys.modules) - before))"
    assert python(code).split() == ["nnunetv2_focusnet", "nnunetv2_focusnet._startup"]


def test_discovery_folder_is_a_leaf_with_one_module():
    folder = Path(discovery_folder())
    assert [path.name for path in folder.iterdir() if path.name != "__pycache__"] == ["nnunetv2_focusnet_trainers.py"]


def test_path_command_prints_the_folder(python):
    assert python("from nnunetv2_focusnet.cli.path import main; main()") == f"{discovery_folder()}\n"


def test_path_command_says_when_the_folder_is_needed(python):
    told = python("import sys; sys.argv[1:] = ['-h']; from nnunetv2_focusnet.cli.path import main; main()")
    for case in ("NNUNETV2_FOCUSNET_NO_AUTOREGISTER=1 is set", "Python reads no .pth files", "is set anew after"):
        assert case in " ".join(told.split())
