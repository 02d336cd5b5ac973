"""Shared by the tests of ./prepare: its outcome, files and tokens, and a main that runs each test
in a new folder."""

import os
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "launch"))
from e2e import PROGRAMS, SANITIZED, Skip, check, content, write  # noqa: E402

PREPARE = os.path.abspath(os.path.join(PROGRAMS, "prepare"))
END_OF_TEXT = 256
ALL = "--val-fraction=0"


def run(*arguments, program=PREPARE, **options):
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([program, *arguments], capture_output=True, text=True, errors="replace",
                          timeout=150, **options)


def fails(code, part, *arguments, **options):
    """One line that starts as every error does, and holds `part`."""
    done = run(*arguments, **options)
    lines = done.stderr.splitlines()
    check(done.returncode == code,
          "%s: exit code %d, not %d: %s" % (arguments, done.returncode, code, lines))
    check(
        len(lines) == 1 and lines[0].startswith("prepare: error: "),
        "%s: not one line: %r" % (arguments, lines))
    check(part in lines[0], "%r is not in %r" % (part, lines[0]))
    check(done.stdout == "", "it wrote %r" % done.stdout)


def works(*arguments, notes="", **options):
    """Returns the standard output; `notes` is a part of the standard error, which is otherwise
    empty."""
    done = run(*arguments, **options)
    check(done.returncode == 0, "%s: %s" % (arguments, done.stderr))
    check(notes in done.stderr and bool(notes) == bool(done.stderr),
          "it said %r, not %r" % (done.stderr, notes))
    return done.stdout


def documents(*paths):
    """The documents of files that follow each other."""
    parts, all_tokens = [bytearray()], [token for path in paths for token in tokens(path)]
    for token in all_tokens:
        if token == END_OF_TEXT:
            parts.append(bytearray())
        else:
            parts[-1].append(token)
    return [bytes(part).decode(errors="replace") for part in parts]


def zstd(path):
    if shutil.which("zstd") is None:
        raise Skip("the program zstd is not installed")
    subprocess.run(["zstd", "-q", "--rm", path], check=True)
    return path + ".zst"


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
