"""The docs site: `sphinx-build -W -b html docs docs/_build`, in an environment with the extra `docs`."""

import shutil
from pathlib import Path

from nnunetv2_focusnet import __version__

project = "nnunetv2-focusnet"
author = "The nnunetv2-focusnet contributors"
copyright = f"2026, {author}"
release = version = __version__

extensions = [
    "myst_nb",  # Markdown, and notebooks where there are any
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",  # Google style docstrings
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
templates_path = ["_templates"]
suppress_warnings = ["ref.python"]  # a class name in a type hint may occur in two modules

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the tests run notebooks

shutil.rmtree(Path(__file__).with_name("api"), ignore_errors=True)  # or pages of modules that were renamed would stay
autosummary_generate = True
napoleon_use_ivar = True  # attributes are described once, by their class
autodoc_member_order = "bysource"
autodoc_typehints = "description"  # beside the shapes and units, which the docstrings have
autodoc_typehints_description_target = "documented"
add_module_names = False  # too wide for a phone

html_theme = "sphinx_book_theme"
html_title = project
html_theme_options = {
    "home_page_in_toc": True,
    "navbar_persistent": [],  # a second search field, as pydata-sphinx-theme adds one where this isn't set
    "show_toc_level": 2,
    "use_download_button": False,
}
copybutton_exclude = ".linenos, .gp, .go"
