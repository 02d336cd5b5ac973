"""Shared by the tests of ./prepare: files and tokens, and a main that runs each test in a new
folder."""

import os
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "launch"))
from e2e import PROGRAMS, Skip, check, content  # noqa: E402

PREPARE = os.path.abspath(os.path.join(PROGRAMS, "prepare"))
END_OF_TEXT = 256


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
    return path


def tokens(path):
    """The tokens of a byte-tokenized file: ours begins at byte 4096, llm.c's at 1024."""
    data = content(path)
    is_llmc = data[:4] == struct.pack("<i", 20240520)
    data = data[4096 if path.endswith(".h5") else 1024 if is_llmc else 0:]
    return list(struct.unpack("<%dH" % (len(data) // 2), data))


def main(*tests):
    """Runs the tests named on the command line, or all."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for test in tests:
        if len(sys.argv) > 1 and test.__name__ not in sys.argv[1:]:
            continue
        work, outcome, why = tempfile.mkdtemp(prefix="hourglass-"), "passed", ""
        try:
            test(work)
        except Skip as reason:
            outcome, why = "skipped", reason
        except (AssertionError, OSError, ValueError, subprocess.SubprocessError) as error:
            outcome, why = "failed", "%s: %s" % (type(error).__name__, error)
        shutil.rmtree(work, ignore_errors=True)
        counts[outcome] += 1
        print("  %s: %s %s" % (test.__name__, outcome, why))
    print("%(passed)d passed, %(failed)d failed, %(skipped)d skipped" % counts)
    sys.exit(1 if counts["failed"] else 0)
