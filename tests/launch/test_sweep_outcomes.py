#!/usr/bin/env python3
"""./sweep: what a point's end is known by, and what a study does about it."""

import os
import subprocess

from e2e import ENVIRONMENT, WORK, check, equal, main, run_directory
from studies import attempts, fake_program, fake_slurm, field, points, study, sweep

# Fails with 1 whatever its ranks end with.
MPIRUN = 'while [ "$1" != -np ]; do shift; done; shift 2; "$@"; exit 1\n'


def what_does_not_fit_is_oom_and_no_failure():
    path = study("oom", {"memory_budget": ["200KiB", "1MiB"]}, data__batch_size="auto")
    sweep(path, "--local")
    equal(field("oom", "state"), ["oom", "done"], "states")
    message = field("oom", "message")[0]
    check("below the smallest batch, which needs " in message, message)
    sweep(path, "--local")
    equal(field("oom", "attempts"), [1, 1], "attempts")
    done = sweep(study("none_fits", {"memory_budget": ["1KiB", "2KiB"]}, data__batch_size="auto"), "--local", code=71)
    check("none of 2 points fits" in done.err and "needs" in done.err, repr(done))


def another_exit_code_does_not_hide_it():
    path = study("replaced", {"memory_budget": ["1KiB", "2KiB"]}, data__batch_size="auto", launch__local__ranks=2)
    done = sweep(path, "--local", code=71, PATH=fake_program("mpirun", MPIRUN))
    check("none of 2 points fits" in done.err, repr(done))
    for point in points("replaced"):
        equal(attempts("replaced", point), ["start", "exit 1"], "attempts")


def its_words_alone_are_no_proof():
    """A file whose name says so is missing, which is a failure."""
    gone = os.path.join(WORK, "within memory_budget, below the smallest batch, out of memory.h5")
    done = sweep(study("words", {"data.val": [gone]}), "--local", code=1)
    check("1 of 1 points failed" in done.err and gone in done.err, repr(done))
    equal(field("words", "state"), ["failed"], "state")


def slurm_does_not_requeue_what_does_not_fit():
    for name, ranks in (("slurm_one", 1), ("slurm_two", 2)):
        slurm = fake_slurm(name)
        fake_program("mpirun", MPIRUN, slurm["FAKE"])
        sweep(study(name, {"memory_budget": ["1KiB", "2KiB"]}, data__batch_size="auto",
                    launch__slurm__ranks_per_node=ranks), "--slurm", **slurm)
        done = subprocess.run(["bash", run_directory(name) + "/slurm/points.sh"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=60,
                              env=dict(ENVIRONMENT, SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="0", **slurm))
        equal(done.returncode, 71, "exit code: %r" % done.stderr)
        check(not os.path.exists(slurm["FAKE"] + "/scontrol.log"), "it was requeued")
        check("oom" in sweep(run_directory(name)).out, "the table")


if __name__ == "__main__":
    main(what_does_not_fit_is_oom_and_no_failure, another_exit_code_does_not_hide_it, its_words_alone_are_no_proof,
         slurm_does_not_requeue_what_does_not_fit)
