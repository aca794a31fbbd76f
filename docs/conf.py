"""Sphinx configuration of the site: ``make docs`` builds it into ``docs/_build/html``, without network."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import site_pages

import imblab

project = "imblab"
author = "The imblab developers"
copyright = "The imblab developers, BSD-3-Clause"
version = release = imblab.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx_copybutton"]
exclude_patterns = ["_build", "_templates", "images/*.json"]
templates_path = ["_templates"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

# Every heading can be linked to, and a link to a heading or page that does not exist is a warning, hence an error.
myst_heading_anchors = 4

# Names of other libraries cannot be looked up without network, and modules of imblab have no pages.
nitpick_ignore_regex = [(r"py:mod", r".*"), (r"py:.*", r"(?!imblab\.\w+$).*")]
autodoc_typehints = "none"
autosummary_generate = True
autosummary_ignore_module_all = False
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = f"imblab {release}"
html_theme_options = {
    "navigation_with_keys": False,
    "show_nav_level": 1,
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 8,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": []}
html_show_sourcelink = False
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True


def rewrite_links(app, docname, source):
    """Resolve links of pages that are read on their own too, next to the source code."""
    source[0] = site_pages.rewrite_links(source[0], Path("docs", docname).parent)


def skip_inherited(app, what, name, obj, skip, options):
    """Leave out methods that scikit-learn adds to every estimator: their docstrings refer to its own guide."""
    return True if re.fullmatch(r"(set_\w+_request|get_metadata_routing)", name) else None


def setup(app):
    """Write the generated pages before Sphinx looks for sources, and copy the reports of the studies."""
    app.connect("source-read", rewrite_links)
    app.connect("autodoc-skip-member", skip_inherited)
    app.connect("build-finished", lambda app, error: error or site_pages.copy_reports(Path(app.outdir)))
    site_pages.write_all(Path(app.srcdir))
