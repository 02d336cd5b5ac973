#!/usr/bin/env python3
"""A study on a real Slurm of one machine (tests/slurm/cluster): submitted, interrupted, requeued,
reported.

sanitizers: no
"""

import glob
import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "launch"))

from e2e import (ENVIRONMENT, WORK, Skip, check, config, equal, losses, main, no_duplicates, run,
                 run_directory, summary)

CLUSTER = os.path.join(WORK, "slurm")


def cluster():
    """Starts Slurm, once; it ends with this process. One that the shell knows is left alone."""
    if not os.path.exists(CLUSTER):
        os.chmod(WORK, 0o755)  # munge asks for it
        done = subprocess.run(
            [os.path.join(HERE, "cluster"), "start", CLUSTER,
             "--while=%d" % os.getpid()], env=ENVIRONMENT, capture_output=True, text=True,
            timeout=90)
        if done.returncode == 77:
            raise Skip(done.stdout.strip().split("skipped ")[-1])
        check(done.returncode == 0, "the cluster does not start: " + done.stdout + done.stderr)
        ENVIRONMENT["SLURM_CONF"] = done.stdout.split("'")[1]


def slurm(*command):
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=30)
    check(done.returncode == 0, "%s: %s%s" % (" ".join(command), done.stdout, done.stderr))
    return done.stdout


def wait_for(what, holds, limit=90):
    begin = time.monotonic()
    while not holds():
        if time.monotonic() - begin > limit:
            logs = "".join(path + ":\n" + open(path, encoding="utf-8").read()
                           for path in glob.glob(WORK + "/runs/*/slurm/*.log"))
            raise AssertionError("not in %d s: %s\n%s%s" % (limit, what, slurm("squeue"), logs))
        time.sleep(0.1)


def submit(name, **changes):
    path = config(name, checkpoint__interval=0, logging__interval=5, evaluation__interval=0,
                  **changes)
    done = run("sweep", path, "--slurm", **ENVIRONMENT)
    check(done.code == 0 and "submitted job array" in done.out, repr(done))
    return path, saved(name)["slurm"]


def saved(name):
    with open(run_directory(name) + "/sweep.json", encoding="utf-8") as file:
        return json.load(file)


def point(name, seed):
    return os.path.join(run_directory(name), "seed-%d" % seed)


def has_begun(name, seed):
    path = point(name, seed)
    return os.path.exists(path + "/metrics.jsonl") and len(losses(path)) > 1


def attempts(name, seed):
    with open(point(name, seed) + "/attempts.log", encoding="utf-8") as file:
        return [" ".join(line.split()[:2 if line.startswith("exit") else 1]) for line in file]


def a_study_is_cut_requeued_and_reported():
    cluster()
    path, jobs = submit("study", sweep={"seed": [1, 2, 3]}, training__stop={"time": "8s"},
                        launch__slurm={"ranks_per_node": 2, "time": "5m", "array_limit": 2})
    array = jobs["array"]
    wait_for("a point begins", lambda: has_begun("study", 1))
    check(not os.path.exists(point("study", 3) + "/attempts.log"), "the array's limit was not held")
    slurm("scancel", "--batch", "--signal=USR1",
          array + "_0")  # the warning ahead of the time limit
    wait_for("another begins", lambda: has_begun("study", 2))
    slurm("scontrol", "requeue", array + "_1")                  # what a preemption does
    done = run("sweep", path, "--slurm", **ENVIRONMENT)
    equal(done.code, 1, "a second submission: %r" % done)
    check(
        "jobs of this study are queued or running; run scancel %s,%s" % (array, jobs["report"])
        in done.err, repr(done))
    wait_for("the warned point ends", lambda: len(attempts("study", 1)) > 1, 30)
    equal(attempts("study", 1)[:2], ["start", "exit 75"], "warned")
    table = run("sweep", path, **ENVIRONMENT).out
    check("seed-1 interrupted" in table or "seed-1 running" in table, table)
    wait_for("the study's jobs end", lambda: not slurm("squeue", "--noheader"))
    equal(attempts("study", 1), ["start", "exit 75", "start", "exit 0"], "the warned point")
    equal(
        attempts("study", 2)[0::len(attempts("study", 2)) - 1], ["start", "exit 0"],
        "the requeued point")
    equal(attempts("study", 2).count("start"), 2, "starts of the requeued point")
    for seed in (1, 2, 3):
        end = summary(point("study", seed))
        check(end["status"] == "done" and end["train_s"] >= 8, "seed %d: %r" % (seed, end))
        no_duplicates(point("study", seed))
    with open(point("study", 1) + "/train.log", encoding="utf-8") as file:
        log = file.read()
    check(re.search(r"resumed from .* at step [1-9]\d*\n", log), "began anew: " + log[-500:])
    equal([entry["state"] for entry in saved("study")["points"]], ["done"] * 3,
          "states, by the report's job")
    check(glob.glob(run_directory("study") + "/report/*"), "the dependent job made no report")


def a_canceled_study_stays_canceled_and_goes_on_when_submitted_again():
    cluster()
    path, jobs = submit("canceled", sweep={"seed": [1]}, training__stop={"time": "3s"})
    wait_for("the point begins", lambda: has_begun("canceled", 1))
    slurm("scancel", jobs["array"], jobs["report"])
    wait_for("the jobs end", lambda: not slurm("squeue", "--noheader"), 30)
    check("interrupted" in run("sweep", path, **ENVIRONMENT).out, "the state")
    done = run("sweep", path, "--slurm", **ENVIRONMENT)
    check("submitted job array" in done.out, repr(done))
    wait_for("the second jobs end", lambda: not slurm("squeue", "--noheader"))
    equal(saved("canceled")["points"][0]["state"], "done", "state")
    equal(attempts("canceled", 1)[-1], "exit 0", "attempts")


if __name__ == "__main__":
    try:
        main(a_study_is_cut_requeued_and_reported,
             a_canceled_study_stays_canceled_and_goes_on_when_submitted_again)
    finally:
        subprocess.run([os.path.join(HERE, "cluster"), "stop", CLUSTER], capture_output=True,
                       timeout=60)
