"""What the recipes for other tools say, against the package."""

import re
from pathlib import Path


def test_slicer_is_told_the_releases_of_nnunet_that_the_package_is_for(repository: Path) -> None:
    """There the package is installed without its dependencies, so that pip doesn't look at its bounds."""
    (bounds,) = re.findall(r'"nnunetv2(>=[^"]+)"', (repository / "pyproject.toml").read_text(encoding="utf-8"))
    recipe = (repository / "docs" / "recipes.md").read_text(encoding="utf-8").split("## 3D Slicer")[1]
    assert f"`{bounds}`" in recipe
