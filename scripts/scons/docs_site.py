#!/usr/bin/env python3
"""Builds docs/ as a site: `scons docs` runs this.

usage: scripts/scons/docs_site.py [--site-dir=DIR]

MkDocs is a package of PyPI; scripts/install_packages.sh --tests puts it into build/python.
"""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def build(*options):
    """Runs MkDocs from build/python or the system; a warning is an error."""
    paths = [os.path.join(ROOT, "build/python"), os.environ.get("PYTHONPATH", "")]
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, paths)),
               PYTHONDONTWRITEBYTECODE="1", NO_MKDOCS_2_WARNING="true")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", *options]
    return subprocess.run(command, cwd=ROOT, env=env).returncode


if __name__ == "__main__":
    sys.exit(build(*sys.argv[1:]))
