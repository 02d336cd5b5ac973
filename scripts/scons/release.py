"""What a release consists of, and its version."""

import os
import re
import shutil
import subprocess

PROGRAMS = ("train", "evaluate", "prepare", "generate", "sweep", "bench", "convert",
            "supervise", "watch")
PUBLIC = "launch/library/hourglass"  # .h is installed, .c and .map make the library
SONAME = "libhourglass.so.0"
VERSION_HEADER = "launch/base/options.h"
ARCHIVED_COMMIT = "scripts/scons/archived_commit"


def version():
    with open(VERSION_HEADER) as file:
        return re.search(r'#define HOURGLASS_VERSION "(.*)"', file.read()).group(1)


def commit():
    """The commit of the sources: from git, or from the archive that git made of them. A clone on a
    system without git has none."""
    if os.path.exists(".git"):
        if shutil.which("git") is None:
            return "unknown"
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"],
            capture_output=True, text=True)
        return described.stdout.strip() or "unknown"
    with open(ARCHIVED_COMMIT) as file:
        archived = file.read().strip()
    return "unknown" if archived.startswith("$") else archived
