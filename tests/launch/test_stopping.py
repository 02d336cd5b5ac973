#!/usr/bin/env python3
"""Interrupted starts: the first file of a run, and points that are asked to stop while they start,
by ./sweep and by the job script for Slurm, with scripts in place of the programs."""

import os
import signal
import subprocess
import time

from e2e import ENVIRONMENT, check, config, equal, main, run_directory, start, train, unfinished
from test_sweep import attempts, fake_slurm, lines_of, study, sweep

FIVE_SECONDS = "for i in {1..50}; do sleep 0.1; done\n"
# at first, as mpirun is
DEAF = "trap '' USR1\ntouch \"$FAKE/here\"\nsleep 0.5\ntrap 'exit 75' USR1\n" + FIVE_SECONDS


def programs(name, **texts):
    """A folder of programs in bash beside those that play Slurm, as an environment."""
    slurm = fake_slurm(name)
    for program, text in texts.items():
        with open(os.path.join(slurm["FAKE"], program), "w", encoding="utf-8") as file:
            file.write("#!/bin/bash\n" + text)
        os.chmod(os.path.join(slurm["FAKE"], program), 0o755)
    return slurm


def wait_for(path, process):
    begin = time.monotonic()
    while not os.path.exists(path):
        check(process.poll() is None and time.monotonic() - begin < 60, path + ": is not made")
        time.sleep(0.01)


def a_run_that_was_killed_while_it_wrote_its_first_file():
    path, directory = config("first"), run_directory("first")
    os.makedirs(directory)
    with open(os.path.join(directory, "run.lock"), "w", encoding="utf-8") as file:
        file.write("process 1 on nowhere\n")
    unfinished(directory, "config.yaml")
    train(path)
    names = os.listdir(directory)
    check("config.yaml" in names and not any("hourglass" in name for name in names), names)


def a_sweep_that_is_stopped_while_its_points_start():
    played = programs("early", mpirun=DEAF)
    job = start(["sweep", study("early", {"seed": [1]}, launch__local__ranks=2), "--local"],
                **played)
    wait_for(played["FAKE"] + "/here", job.process)
    job.send(signal.SIGINT)
    equal((job.end().code, attempts("early", "seed-1")), (75, ["start", "exit 75"]))


def a_task(name, warn_at=None, **texts):
    """Runs the script of a study of one point, with bash in place of mpirun and other programs; the
    file `warn_at` triggers the warning. Returns its exit code, the attempts, and the tasks that
    were requeued."""
    slurm = programs(name, **texts)
    sweep(study(name, {"seed": [1]}, launch__slurm__ranks_per_node=2, launch__retries=3), "--slurm",
          **slurm)
    process = subprocess.Popen(["bash", run_directory(name) + "/slurm/points.sh"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=dict(ENVIRONMENT, SLURM_ARRAY_JOB_ID="7",
                                        SLURM_ARRAY_TASK_ID="0", **slurm))
    if warn_at:
        wait_for(os.path.join(slurm["FAKE"], warn_at), process)
        process.send_signal(signal.SIGUSR1)
    code, log = process.wait(60), os.path.join(slurm["FAKE"], "scontrol.log")
    return code, attempts(name, "seed-1"), lines_of(log) if os.path.exists(log) else []


def a_warning_before_there_is_anybody_to_warn():
    """The script is still saying which host this is."""
    done = a_task("soon", "here", hostname='touch "$FAKE/here"; sleep 0.3; echo host\n',
                  mpirun="trap 'exit 75' USR1\n" + FIVE_SECONDS)
    equal(done, (75, ["start", "exit 75"], ["requeue 7_0"]))


def a_warning_that_nobody_heeds_yet():
    equal(a_task("deaf", "here", mpirun=DEAF), (75, ["start", "exit 75"], ["requeue 7_0"]))


def a_warning_that_kills_what_starts():
    """Not a failure: it continues from its last checkpoint."""
    equal(a_task("dies", "here", mpirun='touch "$FAKE/here"\n' + FIVE_SECONDS),
          (75, ["start", "exit 75"], ["requeue 7_0"]))


def only_the_exit_code_says_that_there_is_no_room():
    noise = "echo 'train: error: out of memory for x' >&2\n"
    for name, code, state, requeued in (("noisy", 1, "failed", ["requeue 7_0"]), ("full", 71, "oom",
                                                                                  [])):
        done = a_task(name, mpirun="%sexit %d\n" % (noise, code))
        equal(done, (code, ["start", "exit %d" % code], requeued), name)
        check(" " + state in sweep(run_directory(name)).out, "the state in the table")


if __name__ == "__main__":
    main(a_run_that_was_killed_while_it_wrote_its_first_file,
         a_sweep_that_is_stopped_while_its_points_start, a_warning_before_there_is_anybody_to_warn,
         a_warning_that_nobody_heeds_yet, a_warning_that_kills_what_starts,
         only_the_exit_code_says_that_there_is_no_room)
