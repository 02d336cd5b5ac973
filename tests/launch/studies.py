"""Helpers of the tests of ./sweep: create and start a study, and read its results. Scripts stand in
for Slurm's commands."""

import json
import os
import re
import subprocess

from e2e import WORK, check, config, equal, run, run_directory

GRID = {"data.batch_size": [1, 2], "attention.backends": [["flash"], ["baseline"]]}
NAMES = [
    "batch_size-1_backends-flash", "batch_size-1_backends-baseline", "batch_size-2_backends-flash",
    "batch_size-2_backends-baseline"
]


def study(name, sweep=None, **changes):
    """A config with a sweep of short points."""
    quiet = {"checkpoint__keep": 2, "evaluation__interval": 5, "report__x": "data.batch_size",
             "report__series": "attention.backends"}
    return config(name, sweep=GRID if sweep is None else sweep, **dict(quiet, **changes))


def sweep(*arguments, code=0, **environment):
    done = run("sweep", *arguments, **environment)
    check(done.code == code, "sweep %s: %r" % (" ".join(arguments), done))
    if code:
        check(
            len(done.errors()) == 1 and done.err.count("\n") == 1,
            "not one line of error: %r" % done)
    return done


def points(name):
    """{point: its entry of sweep.json}"""
    with open(os.path.join(run_directory(name), "sweep.json"), encoding="utf-8") as file:
        return {point["name"]: point for point in json.load(file)["points"]}


def field(name, key):
    return [point[key] for point in points(name).values()]


def point_directory(name, point):
    return os.path.join(run_directory(name), point)


def lines_of(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read().splitlines()


def attempts(name, point):
    return [" ".join(line.split()[:2 if line.startswith(("exit", "stopped")) else 1])
            for line in lines_of(point_directory(name, point), "attempts.log")]


def refused(name, wanted, *arguments, code=78, **changes):
    path = study(name, **changes)
    done = run("sweep", path, *arguments)
    equal(done.code, code, repr(done))
    equal(len(done.errors()), 1, "error lines: %r" % done)
    check(re.search(wanted, done.errors()[0]), "%r is not in: %r" % (wanted, done))
    check(not os.path.exists(run_directory(name)), "something was written")


# ---- Slurm's commands, played by scripts ---------------------------------------------------------

FAKES = {
    "sbatch": 'echo "$*" >>"$FAKE/sbatch.log"; echo $((100 + $(wc -l <"$FAKE/sbatch.log")))\n',
    "squeue": 'cat "$FAKE/queue" 2>/dev/null; true\n',
    "scontrol": 'echo "$*" >>"$FAKE/scontrol.log"\n',
}


# Fails with 1 whatever its ranks end with.
SHIFT = 'while [ "$1" != -np ]; do shift; done; shift 2; '
MPIRUN = SHIFT + '"$@"; exit 1\n'


def fake_program(command, text, folder=None):
    """A PATH on which this script of the shell is the command."""
    folder = folder or os.path.join(WORK, "fake_" + command)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, command), "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\n" + text)
    os.chmod(os.path.join(folder, command), 0o755)
    return folder + ":" + os.environ["PATH"]


def fake_slurm(name):
    folder = os.path.join(WORK, "fake_" + name)
    for command, text in FAKES.items():
        path = fake_program(command, text, folder)
    return {"PATH": path, "FAKE": folder}


def slurm_tasks(name, environment, after=None, code=0):
    """Runs the tasks of the submitted array, and the job after it, with the variables `after`."""
    scripts = os.path.join(run_directory(name), "slurm")
    with open(scripts + "/points.sh", encoding="utf-8") as file:
        count = int(re.search(r"--array=0-(\d+)%", file.read()).group(1)) + 1
    for task in range(count):
        variables = dict(os.environ, **environment, SLURM_ARRAY_TASK_ID=str(task),
                         SLURM_ARRAY_JOB_ID="1", SLURM_JOB_ID="1")
        subprocess.run(["bash", scripts + "/points.sh"], env=variables, check=True,
                       capture_output=True)
    done = subprocess.run(["bash", scripts + "/report.sh"],
                          env=dict(os.environ, **environment, **(after or {})),
                          capture_output=True, text=True)
    equal(done.returncode, code, "the job after the array: " + done.stderr)
    return count, done.stdout
