"""Helpers of the tests of dist/: starting tests/dist/mpi_*.c under mpirun, and a main that runs the
tests side by side. Run from the repository root; the programs are in build/tests/dist, or below the
folder BUILD."""

import concurrent.futures
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import mpirun  # noqa: E402
from sanitized import is_sanitized  # noqa: E402

BUILD = os.environ.get("BUILD", "build")
SANITIZED = is_sanitized(BUILD)
PROGRAMS = os.path.join(BUILD, "tests", "dist")

environment = dict(os.environ, **mpirun.ENVIRONMENT, NO_COLOR="1")


def command(ranks, program, *arguments):
    return ["mpirun", "-np", str(ranks), os.path.join(PROGRAMS, program), *arguments]


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def run(ranks, program, *arguments):
    done = subprocess.run(command(ranks, program, *arguments), env=environment, timeout=150,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stdout, done.stderr


def own_lines(program, text):
    lines = [line.lstrip("\0")
             for line in text.splitlines()]  # Open MPI 5 ends its own paragraphs with a zero
    return [line for line in lines if line.startswith(program + ": error:")]


def main(*tests):
    """Runs the tests, or those that the arguments name; the last line is tests/run's."""
    if shutil.which("mpirun") is None:
        print("  mpirun is not installed\n0 passed, 0 failed, 1 skipped")
        return 0
    if len(sys.argv) > 1:
        tests = [test for test in tests if test.__name__ in sys.argv[1:]]
    n_failed = 0
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for test, future in [(test, pool.submit(test)) for test in tests]:
            try:
                future.result()
                print(f"  dist: {test.__name__} ... ok", flush=True)
            except Exception as error:
                n_failed += 1
                print(f"  dist: {test.__name__} ... FAILED\n    {type(error).__name__}: {error}",
                      flush=True)
    print(f"{len(tests) - n_failed} passed, {n_failed} failed, 0 skipped")
    return n_failed > 0
