"""Sphinx configuration. Options, exit codes and the Python API are generated from the program."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import haca3_bids

project = "haca3_bids"
author = "The haca3_bids developers"
release = version = haca3_bids.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx_copybutton", "tables"]
autodoc_inherit_docstrings = False  # the documentation of torch.nn.Module is elsewhere
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
smartquotes = False
html_theme = "furo"
html_show_copyright = False
html_title = f"haca3_bids {release}"
copybutton_exclude = ".linenos, .gp"
