#!/usr/bin/env python3
"""./sweep: a study from end to end; what it plans, refuses and submits to Slurm."""

import glob
import json
import os
import re
import resource
import signal

from e2e import (SANITIZED, WORK, check, config, equal, main, run_directory, start, summary, train,
                 tree, within)
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


def a_second_sweep_is_refused():
    path = study("twice", {"seed": [1]}, training__stop={"steps": 10**8}, checkpoint__interval=0)
    job = start(["sweep", path, "--local"])
    job.wait_until(
        lambda: os.path.exists(point_directory("twice", "seed-1") + "/metrics.jsonl"))
    done = sweep(path, "--local", code=1)
    check("another run is using this directory: process %d on " % job.process.pid in done.err,
          repr(done))
    check("running" in sweep(path).out, "the table beside a sweep")
    job.send(signal.SIGUSR1)
    equal(job.end().code, 75, "the first sweep")


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
    done = within(20, sweep, study("thousands", {"data.val": values}))
    check("0 of 4000 points done" in done.out and re.search(r"(?m)^val-a_4000 +waiting", done.out),
          done.out[-300:])
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    check(most < 800 << 10 or SANITIZED, "%d KiB" % most)
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


if __name__ == "__main__":
    main(a_study_from_end_to_end, dry_run_touches_nothing, a_second_sweep_is_refused,
         another_study_is_refused, bad_sweeps, thousands_of_points_take_little,
         without_mpirun_or_slurm, submitted_once)
