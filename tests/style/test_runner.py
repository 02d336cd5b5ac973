#!/usr/bin/env python3
"""tests/run on the names of tests: programs, sources, and what is no test. (fast lane)

sanitizers: no
"""

import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "launch"))

from e2e import WORK, check, equal, main  # noqa: E402


def run(*arguments, build=WORK):
    return subprocess.run([os.path.join(ROOT, "tests", "run"), *arguments], text=True,
                          capture_output=True, timeout=60, env=dict(os.environ, BUILD=build))


def a_source_names_its_program():
    program = os.path.join(WORK, "tests", "core", "test_plan")
    os.makedirs(os.path.dirname(program))
    with open(program, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\necho 3 passed, 0 failed, 1 skipped\n")
    os.chmod(program, 0o755)
    for name in (program, "tests/core/test_plan.c"):
        done = run(name)
        equal((done.returncode, done.stderr), (0, ""), name)
        check(done.stdout.startswith(program), done.stdout)
        equal(done.stdout.splitlines()[-1], "3 passed, 0 failed, 1 skipped", name)


def what_is_no_test_is_named_in_one_line():
    with tempfile.TemporaryDirectory(dir=WORK) as empty:
        for name, why in (("tests/core/test_nothing.py", ""), ("--fats", ""), ("tests/core", ""),
                          ("tests/README.md", ""), ("tests/core/test_plan.c", "; run scons tests")):
            done = run(name, build=empty)
            equal((done.returncode, done.stdout), (64, ""), name)
            check(
                re.fullmatch(r"tests/run: error: \S*%s: no such test%s\n" %
                             (name.removesuffix(".c"), why), done.stderr), done.stderr)


if __name__ == "__main__":
    main(a_source_names_its_program, what_is_no_test_is_named_in_one_line)
