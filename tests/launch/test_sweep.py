#!/usr/bin/env python3
"""./sweep: the points of a study on this machine, stopped and resumed at any time; refusals; the
Slurm scripts."""

import glob
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time

from e2e import (ENVIRONMENT, SANITIZED, WORK, Skip, check, checkpoints, config, equal, losses,
                 main, no_duplicates, on_a_terminal, run, run_directory, start, states, summary,
                 train, tree)
from studies import (NAMES, attempts, fake_slurm, field, lines_of, point_directory, points, refused,
                     study, sweep)


def a_study_from_end_to_end():
    path, directory = study("whole"), run_directory("whole")
    done = sweep(path, "--local")
    equal(re.findall(r"(?m)^(\S+): done \| step 10 \| best validation loss \d", done.out), NAMES,
          "points in order")
    check("4 of 4 points done" in done.out, repr(done))
    with open(directory + "/sweep.json", encoding="utf-8") as file:
        saved = json.load(file)
    equal((saved["study"], saved["report"]), ("whole", {
        "metric": "val/loss", "reduce": "best", "x": "data.batch_size",
        "series": "attention.backends"
    }), "sweep.json")
    equal([point["values"] for point in saved["points"]],
          [{"data.batch_size": b, "attention.backends": [a]} for b in (1, 2)
           for a in ("flash", "baseline")], "values")
    equal([(p["name"], p["directory"], p["state"], p["attempts"], p["message"])
           for p in saved["points"]], [(n, directory + "/" + n, "done", 1, "") for n in NAMES],
          "points")
    for name, point in points("whole").items():
        end = summary(point["directory"])
        equal(
            (end["status"], end["attention"], end["batch_size"]),
            ("done", point["values"]["attention.backends"][0], point["values"]["data.batch_size"]),
            name)
        equal(attempts("whole", name), ["start", "exit 0"], "attempts")
    check(glob.glob(directory + "/report/*"), "no report was made")
    before = {name: tree(point_directory("whole", name)) for name in NAMES}
    for again in (path, directory):
        check("starts" not in sweep(again, "--local").out, "a done point was started")
    equal({name: tree(point_directory("whole", name))
           for name in NAMES}, before, "points that were done")


def a_point_reruns_alone():
    sweep(study("alone", {"data.batch_size": ["auto", 2], "seed": [1]}, memory_budget="3MiB"),
          "--local")
    directory = point_directory("alone", "batch_size-auto_seed-1")
    check(summary(directory)["batch_size"] > 1, "auto was not decided")
    again = os.path.join(WORK, "again")
    train(directory + "/config.yaml", "output=" + again)
    equal(losses(again), losses(directory), "the losses")
    train(directory + "/config.yaml")


def dry_run_touches_nothing():
    path = study(
        "dry", launch__local__ranks=2, launch__slurm={
            "ranks_per_node": 3, "partition": "p q", "account": "a", "options": ["--gres=gpu:3"],
            "setup": ["module load x"], "time": "1h30m", "array_limit": 7
        })
    both, local, slurm = (sweep(path, "--dry-run", *more).out
                          for more in ([], ["--local"], ["--slurm"]))
    for name in NAMES:
        check(
            re.search(
                r"(?m)^mpirun .*-np 2 \S*/train %s/%s/config.yaml$" % (run_directory("dry"), name),
                local), local)
        check(re.search(r"(?m)^  %s$" % name, slurm), slurm)
    for line in ("#SBATCH --array=0-3%7", "#SBATCH --time=01:30:00", "#SBATCH --signal=B:USR1@180",
                 "#SBATCH --requeue", "#SBATCH --ntasks-per-node=3", "#SBATCH --partition='p q'",
                 "#SBATCH --account=a", "#SBATCH --gres=gpu:3", "module load x"):
        check("\n" + line + "\n" in slurm, "%r is not in: %s" % (line, slurm))
    check(
        " -np 3 " in slurm and "--report\n" in slurm and " -np 2 " not in slurm and
        "#SBATCH" not in local, slurm)
    check(
        both.startswith(local[:-1]) and slurm[-200:] in both,
        "--dry-run alone does not print both: " + both)
    check("waiting" in sweep(path).out, "no table")
    check(not os.path.exists(run_directory("dry")), "something was written")


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
        "training__stop__steps": 120 if SANITIZED else 500, "logging__interval": 1,
        "checkpoint__interval": 0, "launch__local__ranks": 2
    }
    path, first = study("cut", [{"seed": 1}, {"training.stop.steps": 5}],
                        **long), point_directory("cut", "seed-1")
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM):
        job = start(["sweep", path, "--local"])
        steps = summary(first)["steps"] if os.path.exists(first + "/summary.json") else 0
        while not os.path.exists(first + "/metrics.jsonl") or max([0, *losses(first)]) < steps + 10:
            check(job.process.poll() is None and time.monotonic() - job.start < 60,
                  "no progress: %r" % job.done(0))
            time.sleep(0.02)
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
    while not os.path.exists(first + "/metrics.jsonl") or not losses(first):
        check(job.process.poll() is None and time.monotonic() - job.start < 60, "no progress")
        time.sleep(0.02)
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


def a_second_sweep_is_refused():
    path = study("twice", {"seed": [1]}, training__stop={"time": "2s"})
    job = start(["sweep", path, "--local"])
    while not os.path.exists(point_directory("twice", "seed-1") + "/metrics.jsonl"):
        check(job.process.poll() is None and time.monotonic() - job.start < 60, "no progress")
        time.sleep(0.02)
    done = sweep(path, "--local", code=1)
    check("another run is using this directory: process %d on " % job.process.pid in done.err,
          repr(done))
    check("running" in sweep(path).out, "the table beside a sweep")
    equal(job.end().code, 0, "the first sweep")


def another_study_is_refused():
    path, directory = study("taken", {"seed": [1]}), run_directory("taken")
    sweep(path, "--local")
    before = tree(directory)
    for change in ("optimizer.lr=2e-3", "model.n_layer=1"):
        done = sweep(path, change, "--local", code=78)
        check("contains another study, which differs in " + change.split("=")[0] in done.err,
              repr(done))
    equal({k: v
           for k, v in tree(directory).items() if v}, {k: v
                                                       for k, v in before.items() if v},
          "the study's files")
    sweep(path, "launch.retries=5", "report.reduce=last", "--local")
    os.makedirs(run_directory("foreign"))
    open(run_directory("foreign") + "/notes.txt", "w").close()
    done = sweep(study("foreign"), "--local", code=78)
    check("holds files but no study" in done.err, repr(done))
    equal(os.listdir(run_directory("foreign")), ["notes.txt"], "a directory of another")


def bad_sweeps():
    refused("bad_a",
            r"bad_a.yaml:\d+:\d+: error: 'sweep' needs a map of keys to lists, or a list of maps",
            sweep=[])
    refused("bad_b", r"bad_b.yaml:\d+:\d+: error: 'sweep' needs a list of values for 'seed'",
            sweep={"seed": []})
    refused("bad_c", r"bad_c.yaml:\d+:\d+: error: 'data.batch_size' has this value twice",
            sweep={"data.batch_size": [1, 1]})
    refused("bad_d", r"bad_d.yaml:\d+:\d+: error: points 1 and 2 of the sweep are the same",
            sweep=[{"seed": 1}] * 2)
    refused(
        "bad_e",
        r"bad_e.yaml:\d+:\d+: error: point n_embd-33: 'model.n_embd' \(33\) must be a multiple",
        sweep={"model.n_embd": [32, 33]})
    refused("bad_f",
            r"data.batch_size=4: the study sweeps data.batch_size; change its 'sweep' instead",
            "data.batch_size=4", "--local", code=64)
    refused("bad_g", r"data=\{batch_size: 4\}: the study sweeps data.batch_size",
            "data={batch_size: 4}", code=64)
    refused("bad_l", r"'launch.retries' cannot be swept", sweep={"launch.retries": [1, 2]})
    path = config("bad_h")
    check("it has no 'sweep'" in sweep(path, "--local", code=78).err, "no sweep")
    check("contains no study" in sweep(WORK, code=78).err, "no study")
    check("no such study yet" in sweep(study("bad_i"), "--report", code=78).err,
          "no report")
    sweep(study("bad_j"), "--local", "--slurm", code=64)
    sweep(study("bad_k"), "--ranks=2", "--slurm", code=64)


def thousands_of_points_take_little():
    """4,000 values that clean to one name: the study's file is read once, not once a point."""
    values = ["a" + "".join("!@#&*();"[int(digit)] for digit in "%o" % i) for i in range(4000)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = sweep(study("thousands", {"data.val": values}))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    check("0 of 4000 points done" in done.out and re.search(r"(?m)^val-a_4000 +waiting", done.out),
          done.out[-300:])
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    check(seconds < 20, "%.1f s of computing" % seconds)
    check(after.ru_maxrss < 800 << 10 or SANITIZED, "%d KiB" % after.ru_maxrss)
    axes = {"seed": list(range(64)), "data.batch_size": list(range(1, 65))}
    refused("enormous",
            r"4096 points with a config of \d+ keys and values are too many; reduce either",
            sweep=axes, **{"x-%d" % i: i
                           for i in range(3000)})


def without_mpirun_or_slurm():
    path = study("bare", {"seed": [1]}, launch__local__ranks=2)
    for arguments, wanted in (("--local", "2 ranks need mpirun, which is not in PATH"),
                              ("--slurm", "sbatch is not in PATH")):
        done = sweep(path, arguments, code=78, PATH=WORK + "/none")
        check(wanted in done.err, repr(done))
        check(not os.path.exists(run_directory("bare")), "something was written")
    sweep(path, "--local", "--ranks=1", PATH=WORK + "/none")


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
    while not glob.glob(directory + "/*/checkpoints/*.h5"):
        check(job.process.poll() is None and time.monotonic() - job.start < 100,
              "no progress: %r" % job.done(0))
        time.sleep(0.01)
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


def submitted_once():
    slurm, path, directory = fake_slurm("once"), study("submit",
                                                       {"seed": [1, 2]}), run_directory("submit")
    done = sweep(path, "--slurm", **slurm)
    check("submitted job array 101 with 2 points, and job 102 for the report" in done.out,
          repr(done))
    equal(lines_of(slurm["FAKE"], "sbatch.log"),
          ["--parsable %s/slurm/points.sh" % directory,
           "--parsable --dependency=afterany:101 %s/slurm/report.sh" % directory], "sbatch")
    with open(slurm["FAKE"] + "/queue", "w", encoding="utf-8") as file:
        file.write("101_[0-1%4]\n102\n")
    for how in ("--slurm", "--local"):
        done = sweep(path, how, code=1, **slurm)
        check("jobs of this study are queued or running; run scancel 101,102" in done.err,
              repr(done))
    os.remove(slurm["FAKE"] + "/queue")
    train(point_directory("submit", "seed-1") + "/config.yaml")
    sweep(path, "--slurm", **slurm)
    equal([line for line in lines_of(directory, "slurm", "points.sh") if line.startswith("  seed")],
          ["  seed-2"], "points")
    train(point_directory("submit", "seed-2") + "/config.yaml")
    check("no point is left to run" in sweep(path, "--slurm", **slurm).out, "a study that is done")
    sweep(directory, "--report", **slurm)
    equal(field("submit", "state"), ["done", "done"], "states that no sweep has seen")


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
        while after and not (os.path.exists(point + "/metrics.jsonl") and losses(point)):
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


if __name__ == "__main__":
    QUICK = (a_study_from_end_to_end, dry_run_touches_nothing, a_second_sweep_is_refused,
             another_study_is_refused, bad_sweeps, thousands_of_points_take_little,
             without_mpirun_or_slurm, submitted_once)
    # Under sanitizers minutes of training would add nothing to these.
    main(
        *QUICK,
        *(() if SANITIZED else
          (a_point_reruns_alone, stopped_and_started_again, killed_in_the_middle,
           failed_points_are_retried_a_bounded_number_of_times,
           a_missing_file_is_tried_once_and_again_when_asked, several_at_a_time,
           a_live_table_on_a_terminal, the_cpu_study_in_short, the_job_script_saves_and_requeues)))
