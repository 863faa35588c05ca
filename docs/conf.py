"""The site: ``nox -s docs`` builds it, without network access.

The source folder is the repository, so that links between documents and notebooks are the same on a
code host and on the site.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

import batchframe
import batchframe.local

project = "batchframe"
author = "The batchframe developers"
copyright = author  # noqa: A001 - the name that Sphinx reads
version = release = batchframe.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
]
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "notebooks/*.ipynb",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
exclude_patterns = ["docs/_*", "**/.ipynb_checkpoints"]
templates_path = [str(Path(__file__).parent / "_templates")]

# Documents.
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # the notebooks are kept with their outputs
nb_ipywidgets_js: dict[str, Any] = {}  # would be downloaded
suppress_warnings = ["mystnb.mime_priority"]

# The API reference.
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # types are in the docstrings
autosummary_ignore_module_all = False
numpydoc_show_class_members = False  # the template of a class lists them
python_maximum_signature_line_length = 80
# On some systems, `job.html` and `Job.html` are the same file.
autosummary_filename_map = {
    f"batchframe.{name}": f"batchframe.{name}-function"
    for name in batchframe.__all__
    if name.islower() and name.capitalize() in batchframe.__all__
}


def drop_group_titles(*arguments: Any) -> None:
    """Remove the titles of parameter groups, which numpydoc misreads."""
    lines = arguments[-1]
    for number in reversed(range(1, len(lines))):
        if lines[number].strip() and not lines[number].strip(" ~"):
            del lines[number - 1 : number + 1]


def setup(app: Sphinx) -> None:
    """Call our function before numpydoc's, which have the priority 500."""
    app.connect("autodoc-process-docstring", drop_group_titles, priority=400)


# The look.
html_theme = "pydata_sphinx_theme"
html_title = f"batchframe {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"docs/start": [], "docs/batch_api": []}  # they have no pages below
html_additional_pages = {"index": "redirect.html"}
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "batchframe"},
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "show_nav_level": 2,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
