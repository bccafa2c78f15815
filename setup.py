"""Adds to the build what pyproject.toml cannot express: two start-up files at the top of site-packages."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

# An import line of a .pth file is one line, hence the exec: a start-up file must not disturb an interpreter in whose
# environment the package is half removed. Python 3.15 (PEP 829) prefers the .start file of the same name.
STARTUP_FILES = {
    "nnunetv2_focusnet.pth": (
        "import sys; exec('try:\\n import nnunetv2_focusnet._startup as s\\n s.register()\\nexcept Exception: pass')\n"
    ),
    "nnunetv2_focusnet.start": "nnunetv2_focusnet._startup:register\n",
}


class BuildWithStartupFiles(build_py):
    """Write the start-up files beside the package, so that the wheel lists them and pip removes them."""

    def _startup_paths(self) -> dict[str, str]:
        # An editable wheel takes from build_lib only what has a counterpart in the source tree; its install_lib is the
        # content of the wheel itself.
        top = self.get_finalized_command("install").install_lib if self.editable_mode else self.build_lib
        return {str(Path(top, name)): text for name, text in STARTUP_FILES.items()}

    def run(self) -> None:
        super().run()
        for path, text in self._startup_paths().items():
            self.mkpath(str(Path(path).parent))
            Path(path).write_text(text, encoding="utf-8")

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        outputs = super().get_outputs(include_bytecode)
        return outputs if self.editable_mode else [*outputs, *self._startup_paths()]


setup(cmdclass={"build_py": BuildWithStartupFiles})
