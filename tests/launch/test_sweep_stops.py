#!/usr/bin/env python3
"""The points of ./sweep on this machine and under Slurm's script: stopped, killed, failed and
started again. sanitizers: no"""

import errno
import glob
import os
import re
import shutil
import signal
import subprocess
import time

from e2e import (ENVIRONMENT, WORK, Skip, check, checkpoints, equal, losses, main, no_duplicates,
                 on_a_terminal, run, run_directory, start, states, summary, train)
from injected import injected
from studies import (attempts, fake_slurm, field, lines_of, point_directory, points, study, sweep)


def a_point_reruns_alone():
    sweep(study("alone", {"data.batch_size": ["auto", 2], "seed": [1]}, memory_budget="3MiB"),
          "--local")
    directory = point_directory("alone", "batch_size-auto_seed-1")
    check(summary(directory)["batch_size"] > 1, "auto was not decided")
    again = os.path.join(WORK, "again")
    train(directory + "/config.yaml", "output=" + again)
    equal(losses(again), losses(directory), "the losses")
    train(directory + "/config.yaml")


def logged(directory):
    """The steps that a run has logged by now."""
    return losses(directory) if os.path.exists(directory + "/metrics.jsonl") else {}


def same_as_alone(name, point):
    """The study's point has the losses and the last state of the same run that was never cut."""
    whole = os.path.join(WORK, "whole_" + name)
    train(os.path.join(point_directory(name, point), "config.yaml"), "output=" + whole, ranks=2)
    equal(losses(point_directory(name, point)), losses(whole), "losses")
    no_duplicates(point_directory(name, point))
    last = [
        states(checkpoints(directory)[-1:]) for directory in (point_directory(name, point), whole)
    ]
    equal(*last, "the last state")


def stopped_and_started_again():
    long = {
        "training__stop__steps": 500, "logging__interval": 1,
        "checkpoint__interval": 0, "launch__local__ranks": 2
    }
    path, first = study("cut", [{"seed": 1}, {"training.stop.steps": 5}],
                        **long), point_directory("cut", "seed-1")
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM):
        job = start(["sweep", path, "--local"])
        steps = summary(first)["steps"] if os.path.exists(first + "/summary.json") else 0
        job.wait_until(lambda: max(logged(first), default=0) >= steps + 10)
        job.send(number)
        done = job.end()
        equal(done.code, 75, "exit code: %r" % done)
        check("0 of 2 points done; the same command resumes" in done.err, repr(done))
        equal(field("cut", "state"), ["interrupted", "waiting"], "states")
        equal(summary(first)["status"], "stopped", "status")
        check(summary(first)["steps"] > steps, "nothing was saved")
    check("interrupted" in sweep(path).out, "the table")
    sweep(path, "--local")
    equal(field("cut", "state"), ["done", "done"], "states")
    equal(attempts("cut", "seed-1"), ["start", "exit 75"] * 3 + ["start", "exit 0"], "attempts")
    same_as_alone("cut", "seed-1")


def killed_in_the_middle():
    """When a sweep dies, its point saves and ends; the next sweep continues it."""
    path = study("killed", {"seed": [1, 2]}, training__stop={"time": "1500ms"},
                 checkpoint__interval=0, logging__interval=5)
    first = point_directory("killed", "seed-1")
    for seconds in (0.01, 0.03, 0.1,
                    0.3):  # while it takes the directory, and while the point starts
        job = start(["sweep", path, "--local"])
        time.sleep(seconds)
        job.send(signal.SIGKILL)
        job.end()
    job = start(["sweep", path, "--local"])
    job.wait_until(lambda: logged(first))
    job.send(signal.SIGKILL)
    job.end()
    sweep(path, "--local")
    equal(field("killed", "state"), ["done", "done"], "states")
    log = attempts("killed", "seed-1")
    check(
        log.count("start") >= 2 and log.count("exit 0") == 1 and log[-1] == "exit 0",
        "attempts: %r" % log)
    no_duplicates(first)


def failed_points_are_retried_a_bounded_number_of_times():
    path = study("fails", {"optimizer.lr": [1e-3, 1000]}, launch__retries=1, lr_scheduler__warmup=0,
                 training__stop__steps=100)
    done = sweep(path, "--local", code=1)
    name = [p for p, entry in points("fails").items() if entry["state"] == "failed"]
    equal(len(name), 1, "failed points: %r" % done)
    equal(attempts("fails", name[0]), ["start", "exit 1"] * 2, "attempts")
    check("1 of 2 points failed; %s: " % name[0] in done.err and "not finite" in done.err,
          repr(done))
    check("not finite" in points("fails")[name[0]]["message"], "message")
    equal(sorted(field("fails", "state")), ["done", "failed"], "states")
    check(glob.glob(run_directory("fails") + "/report/*"), "no report of the points that are done")
    sweep(path, "--local", code=1)
    equal(len(attempts("fails", name[0])), 4, "attempts after the bound")
    sweep(path, "--local", "launch.retries=2", code=1)
    equal(len(attempts("fails", name[0])), 6, "attempts after it was raised")


def a_missing_file_is_tried_once_and_again_when_asked():
    gone = os.path.join(WORK, "later.h5")
    path = study("missing", {"data.val": [gone]})
    done = sweep(path, "--local", code=1)
    check(gone + ": no such file" in done.err, repr(done))
    equal(attempts("missing", field("missing", "name")[0]),
          ["start", "exit 65"], "attempts")
    shutil.copy(os.path.join(WORK, "data", "val.h5"), gone)
    sweep(path, "--local")
    equal(field("missing", "state"), ["done"], "states")


def several_at_a_time():
    path = study("parallel", {"seed": [1, 2, 3]}, training__stop={"time": "1500ms"},
                 logging__interval=50)
    sweep(path, "--local", "--parallel=3")
    equal(field("parallel", "state"), ["done"] * 3, "states")
    begins, ends = [], []
    for seed in (1, 2, 3):
        lines = lines_of(point_directory("parallel", "seed-%d" % seed), "attempts.log")
        begins.append(lines[0].split()[1])
        ends.append(lines[-1].split()[2])
    check(max(begins) < min(ends), "they did not run at a time: %r to %r" % (begins, ends))


def a_live_table_on_a_terminal():
    path = study("live", {"seed": [1, 2]}, training__stop={"time": "1500ms"})
    shown = on_a_terminal("sweep", path, "--local", NO_COLOR="")
    check(re.search(r"seed-1 +running +\d+ +\d\.\d+ .* \d s", shown), repr(shown[-3000:]))
    check("\033[4A\r\033[J" in shown, "not drawn in place")
    check(
        re.search(r"seed-2 +done ", shown) and shown.rstrip().splitlines()[-1].strip() != "",
        repr(shown[-500:]))


def the_cpu_study_in_short():
    """configs/cpu_study.yaml on the book Genesis, with fewer batches, seeds and steps; one
    candidate is killed in the middle."""
    bible = shutil.which("bible") or "/usr/games/bible"
    if not os.path.exists(bible):
        raise Skip("needs the package bible-kjv")
    text, data, directory = WORK + "/genesis.txt", WORK + "/genesis", WORK + "/runs/cpu_study"
    with open(text, "w", encoding="utf-8") as file:
        subprocess.run([bible, "gen1:1-gen50:26"], stdout=file, check=True)
    equal(run("prepare", text, "--out=" + data).code, 0, "prepare")
    job = start([
        "sweep", "configs/cpu_study.yaml", "--local",
        "data.train=%s/train.h5" % data,
        "data.val=%s/val.h5" % data, "output=" + directory,
        "model={n_layer: 1, n_embd: 32, block_size: 64}", "checkpoint.interval=10 steps",
        "training.stop.steps=250", "logging.interval=1", "evaluation.tokens=256",
        "sweep={data.batch_size: [2, 8], seed: [1, 2], tune: {optimizer.lr: {from: 1e-3, to: 8e-3, "
        "points: 4}}}"
    ])
    job.wait_until(lambda: glob.glob(directory + "/*/checkpoints/*.h5"))
    victim = os.path.dirname(os.path.dirname(glob.glob(directory + "/*/checkpoints/*.h5")[0]))
    with open(victim + "/run.lock", encoding="utf-8") as file:
        os.kill(int(file.read().split()[1]), signal.SIGKILL)
    done = job.end()
    check(done.code == 0 and "with 4 of 4 points done" in done.out, repr(done))
    equal(
        attempts("cpu_study", os.path.basename(victim))[2:4], ["start", "exit 0"],
        "attempts of the killed candidate")
    check(
        re.search(r"(?m)^resumed from .* at step \d*0$", "\n".join(lines_of(victim, "train.log"))),
        "not resumed")
    no_duplicates(victim)
    equal(len(lines_of(directory, "report", "points.csv")), 5, "lines of the report's table")
    check("at batch" in done.out or "of batch" in done.out, "no answer: %r" % done)


def the_job_script_saves_and_requeues():
    slurm = fake_slurm("script")
    path = study("script", {"seed": [1, 2], "optimizer.lr": [1e-3, 1000]},
                 training__stop={"time": "10s"}, lr_scheduler__warmup=0, checkpoint__interval=0,
                 launch__slurm__ranks_per_node=2, launch__retries=1, logging__interval=5)
    sweep(path, "--slurm", **slurm)
    script, job = run_directory("script") + "/slurm/points.sh", dict(ENVIRONMENT,
                                                                     SLURM_ARRAY_JOB_ID="7",
                                                                     **slurm)

    def task(index, after=None):
        point = list(points("script").values())[index]["directory"]
        process = subprocess.Popen(["bash", script], env=dict(job, SLURM_ARRAY_TASK_ID=str(index)),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        begin = time.monotonic()
        while after and not logged(point):
            check(process.poll() is None and time.monotonic() - begin < 60,
                  "the task makes no progress")
            time.sleep(0.02)
        if after == "USR1":
            process.send_signal(signal.SIGUSR1)
        elif after:
            os.killpg(process.pid, signal.SIGTERM)
        return process.wait(120), list(points("script"))[index]

    code, point = task(0, "USR1")
    equal((code, attempts("script", point)), (75, ["start", "exit 75"]), "a task that was warned")
    equal(summary(point_directory("script", point))["status"], "stopped", "status")
    equal(lines_of(slurm["FAKE"], "scontrol.log"), ["requeue 7_0"], "scontrol")
    check("interrupted" in sweep(path).out, "the table")
    code, point = task(2, "TERM")
    check(code != 0 and attempts("script", point)[-1].startswith("stopped "),
          "a canceled task: %r" % code)
    equal(len(lines_of(slurm["FAKE"], "scontrol.log")), 1, "a canceled task was requeued")
    for expected in (2, 2):
        code, point = task(1)
        equal((code, len(lines_of(slurm["FAKE"], "scontrol.log"))), (1, expected),
              "a task that fails")


def a_process_that_cannot_start_is_a_failed_attempt():
    """The system has none once; the point gets it afterwards, and the others are not lost."""
    path = study("scarce", {"seed": [1, 2, 3]})
    done = sweep(path, "--local", **injected("fork:sweep:2:%d" % errno.EAGAIN))
    check("cannot be started: Resource temporarily unavailable; counts as a failed attempt"
          in done.err, repr(done))
    equal(field("scarce", "state"), ["done"] * 3, "states")
    equal(sorted(field("scarce", "attempts")), [1, 1, 2], "attempts")


if __name__ == "__main__":
    main(a_point_reruns_alone, stopped_and_started_again, killed_in_the_middle,
         failed_points_are_retried_a_bounded_number_of_times,
         a_missing_file_is_tried_once_and_again_when_asked, several_at_a_time,
         a_live_table_on_a_terminal, the_cpu_study_in_short, the_job_script_saves_and_requeues,
         a_process_that_cannot_start_is_a_failed_attempt)
