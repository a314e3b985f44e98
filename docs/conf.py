"""The site of the documentation, ``make docs``. Its root is the repository, so that pages may link to notebooks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

from izhi.version import __version__

project = "Izhi"
author = "The Izhi developers"
copyright = author
version = release = __version__
root_doc = "docs/index"
include_patterns = [
    "docs/**",
    "notebooks/*.ipynb",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "CODE_OF_CONDUCT.md",
    "SECURITY.md",
]
exclude_patterns = ["docs/extensions/**", "docs/redirect/**"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "benchmark_tables",
    "data_at_hand",
    "gallery",
    "generated",
    "paper_figures",
    "plain_docstrings",
]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]
# Notebooks are executed once, and again when their code has changed; not when the program has.
nb_execution_mode = "cache"
nb_execution_cache_path = str(Path(__file__).parents[1] / "build" / "notebooks")
nb_execution_in_temp = True
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_render_markdown_format = "myst"
nb_output_stderr = "remove"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_context = {"default_mode": "auto"}
html_title = "Izhi"
html_extra_path = ["redirect"]
# Beside the site's own: the script that calls a network in a browser, and the page on which one draws digits.
html_static_path = ["_static", "../src/izhi/hardware/c/web", "../src/izhi/explorer/web"]
html_css_files = ["site.css"]
html_sidebars = {root_doc: []}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "show_prev_next": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": {"**": ["page-toc"], root_doc: []},
    "footer_start": ["copyright"],
    "footer_end": [],
}
# Commands in a page are indented and of the shell; what is Python says so.
highlight_language = "none"
smartquotes = False
copybutton_exclude = ".linenos, .gp"
