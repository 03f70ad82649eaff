# Copyright: (c) 2026, pgops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sphinx's settings for `make docs`: the guides beside this file, and the reference that antsibull-docs makes."""

project = "pgops.pgbackrest"
project_copyright = "pgops contributors"
extensions = ["myst_parser", "sphinx_antsibull_ext"]
myst_heading_anchors = 4  # the guides link to headings as they are linked on code hosting sites
html_theme = "sphinx_ansible_theme"
html_title = "pgops.pgbackrest"
html_theme_options = {
    "documentation_home_url": "index.html",
    "topbar_links": {"Source": "https://github.com/pgops/ansible-pgbackrest"},
    "vcs_pageview_mode": "",
}
html_show_sourcelink = False
exclude_patterns = ["topologies"]
