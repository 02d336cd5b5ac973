#!/usr/bin/env python3
"""tests/gpu/stamp and the stamp that tests/gpu/run writes, in a copy of their folder, with
stand-ins for the GPU and the programs.

sanitizers: no
"""

import json
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "launch"))

from e2e import WORK, check, equal, main, within  # noqa: E402

STAND_INS = {
    "bin/nvidia-smi": """case "$*" in
  *compute_cap*) echo 9.0 ;;
  *name*) echo "NVIDIA H200, 570.1" ;;
  -L) echo "GPU 0: NVIDIA H200" ;;
esac""",
    "bin/scons": "exit ${SCONS_CODE:-0}",
    "bin/mpirun": 'shift 2; exec "$@"',
    "bench": """[ "$1" = step ] || exit 0
echo "20.75 ms a step (20.70 to 20.81) | 592000 tokens/s"
echo "7000.0 MiB planned, 7001.0 MiB taken\"""",
    "train": """for argument; do case "$argument" in output=*) mkdir -p "${argument#output=}"
  echo '{"start_s": 1.5, "planned_bytes": 2097152, "peak_bytes": 3145728}' \\
    >"${argument#output=}/summary.json" ;; esac; done""",
    "tests/run": 'echo "failed: nothing"; echo "${COUNTS:-7 passed, 0 failed, 1 skipped}"; '
    '[ -z "${COUNTS:-}" ]',
    "tests/gpu/predictions": 'echo "predictions: 3 points, memory within 0.11%, time within 8.7%"',
}
SOURCES = {
    "core/plan.c": "int plan;\n",
    "nn/attention/flash.cuh": "\n",
    "launch/train.c": "\n",
    "core/notes.md": "no source\n",
    "tests/gpu/test_a.c": '#include "tests/nn/a_helper.h"\n',
    "tests/nn/a_helper.h": "\n",
    "tests/nn/a_helper.c": '#include "tests/nn/b_helper.h"\n',
    "tests/nn/b_helper.h": "\n",
    "tests/nn/test_b.c": "\n",
}


def put(root, path, text, mode=0o644):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)


def tree(name):
    """A root with a few sources, tests/gpu's two programs and stand-ins for all others."""
    root = os.path.join(WORK, name)
    for path, text in SOURCES.items():
        put(root, path, text)
    for path, text in STAND_INS.items():
        put(root, path, "#!/usr/bin/env bash\n" + text + "\n", 0o755)
    for program in ("run", "stamp"):
        shutil.copy2(os.path.join(ROOT, "tests", "gpu", program),
                     os.path.join(root, "tests", "gpu", program))
    return root


def start(root, *command, code=0, **environment):
    environment = dict(os.environ, PATH=os.path.join(root, "bin") + ":" + os.environ["PATH"],
                       **environment)
    done = subprocess.run([os.path.join(root, command[0]), *command[1:]], env=environment,
                          text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60, check=False)
    equal(done.returncode, code, " ".join(command) + ":\n" + done.stdout)
    return done.stdout


def says(root, *parts):
    """The check ends with 1 and one line that has these parts; without parts with 0 and nothing."""
    line = start(root, "tests/gpu/stamp", "--check", code=1 if parts else 0)
    equal(line.count("\n"), 1 if parts else 0, line)
    for part in parts:
        check(part in line, "%r is not in %r" % (part, line))


def a_run_leaves_its_stamp():
    root = tree("run")
    says(root, "tests/gpu/last_run.json: there is none")
    copy = os.path.join(root, "copy.json")
    start(root, "tests/gpu/run", "--stamp=" + copy)
    with open(copy, encoding="utf-8") as file, open(root + "/tests/gpu/last_run.json",
                                                    encoding="utf-8") as own:
        stamp = json.load(file)
        equal(json.load(own), stamp, "the copy")
    equal(
        {
            key: stamp[key]
            for key in ("gpu", "gpus", "arch", "passed", "failed", "skipped", "exit_code")
        }, {
            "gpu": "NVIDIA H200, 570.1", "gpus": 1, "arch": "90a", "passed": 7, "failed": 0,
            "skipped": 1, "exit_code": 0
        })
    check(time.strftime("%Y-") in stamp["date"] and len(stamp["date"]) == 10, stamp["date"])
    wanted = {
        "B=12, ms a step": [20.75, 592000], "B=64, memory taken, GiB": [6.84, 6.84],
        "two GPUs against one, B=12": [None, None], "start to first step, s (mpirun)": [1.5, None],
        "planned / taken by a run, MiB": [2, 3], "memory, time predicted within, %": [0.11, 8.7]
    }
    equal({key: stamp["table"].get(key) for key in wanted}, wanted, "table")
    check("tests/nn/b_helper.h" in stamp["sources"] and "tests/nn/test_b.c" not in stamp["sources"],
          "%r" % stamp["sources"])
    says(root)


def changed_sources_are_named():
    root = tree("changed")
    start(root, "tests/gpu/run")
    put(root, "core/plan.c", SOURCES["core/plan.c"])  # touched, and nothing else
    put(root, "core/notes.md", "other words\n")
    put(root, "tests/nn/test_b.c", "other words\n")
    says(root)
    put(root, "core/plan.c", "int plans;\n")
    says(root, "1 source changed since the run of 2", "on NVIDIA H200", ": core/plan.c\n")
    put(root, "core/plan.c", SOURCES["core/plan.c"])
    put(root, "tests/nn/b_helper.h", "other\n")
    put(root, "data/new.c", "\n")
    os.remove(root + "/launch/train.c")
    says(root, "3 sources changed", "data/new.c (new)", "launch/train.c (gone)",
         "tests/nn/b_helper.h")
    for i in range(20):
        put(root, "data/new_%02d.c" % i, "\n")
    says(root, "23 sources changed", "data/new_18.c (new), and 3 more\n")


def a_change_during_the_run_is_a_change():
    root = tree("during")
    put(root, "tests/run",
        "#!/bin/sh\necho later >>core/plan.c\necho 7 passed, 0 failed, 1 skipped\n", 0o755)
    start(root, "tests/gpu/run")
    says(root, "1 source changed", "core/plan.c")


def a_failed_run_is_no_proof():
    root = tree("failed")
    start(root, "tests/gpu/run", code=1, COUNTS="6 passed, 1 failed, 1 skipped")
    says(root, "on NVIDIA H200", "failed\n")
    start(root, "tests/gpu/run")
    put(root, "tests/gpu/predictions", "#!/bin/sh\nexit 1\n", 0o755)
    start(root, "tests/gpu/run", code=1)
    says(root, "failed\n")  # what is no test counts too


def half_a_run_leaves_no_stamp():
    root = tree("half")
    start(root, "tests/gpu/run", "--times-only")
    start(root, "tests/gpu/run", code=1, SCONS_CODE="2")
    start(root, "tests/gpu/run", "--times-only", "--stamp=x", code=64)
    put(root, "bin/nvidia-smi", "#!/bin/sh\nexit 9\n", 0o755)
    check("no GPU here\n0 passed, 0 failed, 1 skipped\n" in start(root, "tests/gpu/run"),
          "without a GPU")
    says(root, "there is none")


def a_stamp_that_cannot_be_read_is_one_line():
    root = tree("unread")
    for text in ("", "{", "[]", "{}",
                 '{"gpu": 1, "date": 2, "failed": 0, "exit_code": 0, "sources": 3}', "\xff"):
        put(root, "tests/gpu/last_run.json", text)
        line = start(root, "tests/gpu/stamp", "--check", code=65)
        check(line.count("\n") == 1 and "last_run.json: cannot be read" in line, line)
    start(root, "tests/gpu/stamp", code=64)
    start(root, "tests/gpu/stamp", "--write", code=64)


def the_check_takes_less_than_two_seconds():
    within(2, subprocess.run, [os.path.join(ROOT, "tests/gpu/stamp"), "--check"])


if __name__ == "__main__":
    main(a_run_leaves_its_stamp, changed_sources_are_named, a_change_during_the_run_is_a_change,
         a_failed_run_is_no_proof, half_a_run_leaves_no_stamp,
         a_stamp_that_cannot_be_read_is_one_line, the_check_takes_less_than_two_seconds)
