"""Wheels and editable installs, each in a bare environment of its own below folders with spaces in their names."""

import ast
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from pkgutil import resolve_name
from zipfile import ZipFile

import pytest

from nnunetv2_focusnet._startup import register

STARTUP_FILES = {"nnunetv2_focusnet.pth", "nnunetv2_focusnet.start"}
PRINT_VARIABLE = "import os; print(os.environ.get('nnUNet_extTrainer'))"


@dataclass
class Environment:
    """A virtual environment without pip; ``pip`` is the one of the interpreter that runs the tests."""

    folder: Path
    variables: dict[str, str]

    @property
    def scripts(self) -> Path:
        return next(folder for folder in (self.folder / "bin", self.folder / "Scripts") if folder.exists())

    def pip(self, *arguments: str) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.scripts / "python"), "--quiet"]
        subprocess.run([*pip, *arguments], check=True, capture_output=True)

    def run(self, program: str, *arguments: str, **variables: str) -> str:
        """Standard output; fails if the program does or if it writes to standard error."""
        command = [str(self.scripts / program), *arguments]
        environment = {**self.variables, **variables}
        done = subprocess.run(command, env=environment, cwd=self.folder, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.strip()


@pytest.fixture(scope="module")
def source(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, as building writes beside them."""
    copy = tmp_path_factory.mktemp("build") / "a clone"
    shutil.copytree(
        repository / "nnunetv2_focusnet", copy / "nnunetv2_focusnet", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(repository / "tests", copy / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(repository / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheels(source: Path) -> dict[str, Path]:
    """Both kinds of wheel pip asks setuptools for (PEP 517 and PEP 660)."""

    def build(hook: str) -> Path:
        code = f"from setuptools import build_meta; build_meta.{hook}('{hook}')"
        (source / hook).mkdir()
        subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
        return next((source / hook).glob("*.whl"))

    return {hook: build(hook) for hook in ("build_wheel", "build_editable")}


@pytest.fixture(params=["build_wheel", "build_editable"])
def installed(request, wheels, tmp_path: Path, plain_environment) -> Environment:
    environment = Environment(tmp_path / "an environment", plain_environment)
    venv.create(environment.folder, with_pip=False)
    environment.pip("install", "--no-deps", "--no-index", str(wheels[request.param]))
    return environment


def package_folder(installed: Environment) -> Path:
    return Path(installed.run("python", "-c", "import nnunetv2_focusnet as n; print(n.__path__[0])"))


def imported_modules(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_every_package_that_is_imported_is_a_dependency(repository):
    def canonical(distribution: str) -> str:
        return distribution.lower().replace("_", "-")

    text = (repository / "pyproject.toml").read_text(encoding="utf-8")
    listed = {canonical(name) for name in re.findall(r'^    "([\w-]+)[<>=]', text, re.MULTILINE)}
    of_modules = packages_distributions()  # without those of extras that aren't installed
    files = (repository / "nnunetv2_focusnet").rglob("*.py")
    imported = {module for file in files for module in imported_modules(file)} & of_modules.keys()
    imported -= {"nnunetv2_focusnet", *sys.stdlib_module_names}
    assert {"nnunetv2", "torch"} <= imported
    assert [module for module in imported if not listed & set(map(canonical, of_modules[module]))] == []


def test_wheel_contents(wheels, source):
    files = {name for name in ZipFile(wheels["build_wheel"]).namelist() if ".dist-info/" not in name}
    package = {
        path.relative_to(source).as_posix()
        for path in (source / "nnunetv2_focusnet").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files == package | STARTUP_FILES
    assert "nnunetv2_focusnet/_discovery/nnunetv2_focusnet_trainers.py" in files


def test_start_file_names_register(wheels):
    """PEP 829: an entry point a line; no interpreter that reads them is at hand everywhere."""
    lines = ZipFile(wheels["build_wheel"]).read("nnunetv2_focusnet.start").decode().splitlines()
    assert [resolve_name(line) for line in lines] == [register]


def test_interpreter_starts_registered(installed):
    folder = package_folder(installed) / "_discovery"
    assert installed.run("python", "-c", PRINT_VARIABLE) == str(folder)
    assert installed.run("nnUNetv2_focusnet_path") == str(folder)
    assert (folder / "nnunetv2_focusnet_trainers.py").is_file()


def test_opt_out_silences_the_startup_file(installed):
    assert installed.run("python", "-c", PRINT_VARIABLE, NNUNETV2_FOCUSNET_NO_AUTOREGISTER="1") == "None"


def test_only_the_package_is_importable(installed):
    found = "from importlib.util import find_spec; print(find_spec('tests'), find_spec('setup'))"
    assert installed.run("python", "-c", found) == "None None"


@pytest.mark.parametrize("installed", ["build_wheel"], indirect=True)
def test_interpreter_starts_in_silence_when_the_package_is_broken(installed):
    startup = package_folder(installed) / "_startup.py"
    startup.write_text("raise RuntimeError('half updated')")
    assert installed.run("python", "-c", PRINT_VARIABLE) == "None"
    shutil.rmtree(startup.parent)
    assert installed.run("python", "-c", PRINT_VARIABLE) == "None"


def test_uninstalling_leaves_nothing(installed):
    installed.pip("uninstall", "--yes", "nnunetv2-focusnet")
    assert list(installed.folder.rglob("*focusnet*")) == []
    assert installed.run("python", "-c", PRINT_VARIABLE) == "None"
