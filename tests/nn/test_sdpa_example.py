#!/usr/bin/env python3
"""examples/sdpa.c runs, and its claims hold. (fast lane)"""

import os
import re
import subprocess
import sys

PROGRAM = os.path.join(os.environ.get("BUILD", "build"), "examples/sdpa")


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=100)


def check(what, holds):
    print("  sdpa example: %s ... %s" % (what, "ok" if holds else "FAILED"))
    return bool(holds)


def main():
    done, wrong = run("cpu"), run("gpu")
    tables = re.split(r"^(?=\S)", done.stdout, flags=re.MULTILINE)[1:]
    plain, biased = (tables + ["", ""])[:2]
    checks = [
        check("ends well", done.returncode == 0 and done.stderr == ""),
        check("makes five claims, which hold",
              re.findall(r" (yes|NO)$", done.stdout, re.MULTILINE) == ["yes"] * 5),
        check(
            "times four backends and the default, flash",
            len(re.findall(r" us .* MiB ", plain)) == 5 and
            re.search(r"^  \(default\) .* flash$", plain, re.MULTILINE)),
        check(
            "flash says why it refuses a bias",
            re.search(r"^  flash +refuses: .*flash: takes no arbitrary mask", biased,
                      re.MULTILINE)),
        check("mem_efficient takes over",
              re.search(r"^  \(default\) .* mem_efficient$", biased, re.MULTILINE)),
        check("wrong use is told", wrong.returncode == 64 and
              wrong.stderr.startswith("usage: sdpa")),
    ]
    if not all(checks):
        print(done.stdout + done.stderr)
    print("%d passed, %d failed, 0 skipped" % (sum(checks), len(checks) - sum(checks)))
    return 0 if all(checks) else 1


sys.exit(main())
