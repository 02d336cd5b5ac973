#!/usr/bin/env python3
"""Tuning by successive halving, here and on a cluster, cut and continued. sanitizers: no"""

import glob
import json
import os
import re
import shutil
import signal
import time

from e2e import (WORK, check, corpus, equal, losses, main, metrics, run, run_directory, start,
                 train, tree)
from injected import injected
from studies import (attempts, fake_program, fake_slurm, lines_of, point_directory, points, refused,
                     slurm_tasks, study, sweep)

RATES = [1e-3, 3e-3, 1e-2, 3e-2, 1e-1]


def tuned(name, sweep_of=None, rates=None, **changes):
    """A study of two batches and seeds, whose candidates take 40 steps of a linear decay."""
    grid = {"data.batch_size": [2, 4], "seed": [1, 2]} if sweep_of is None else sweep_of
    if isinstance(grid, dict):
        grid = dict(grid, tune={"optimizer.lr": RATES if rates is None else rates})
    settings = {"training__stop": {"steps": 40}, "training__gradient_accumulation_steps": 1,
                "checkpoint": {"interval": 0, "keep": 1, "best": False}, "evaluation__interval": 20,
                "lr_scheduler": {"shape": "linear", "warmup": 2, "decay": "100%", "min_lr": 0},
                "report__series": None}
    return study(name, grid, **dict(settings, **changes))


def tunings(name):
    with open(os.path.join(run_directory(name), "sweep.json"), encoding="utf-8") as file:
        return json.load(file)["tuning"]


def candidates(tuning, key="optimizer.lr"):
    return {c["values"][key]: c for c in tuning["candidates"]}


def started(done):
    return re.findall(r"(?m)^(\S+): (?:starts|resumes), attempt", done.out)


def check_tuning(tuning):
    """The better three of the first rung complete the budget, the best of all has its neighbors
    there, and each other candidate says why it ended."""
    equal(tuning["rungs"], [0.25, 1.0], "rungs")
    check(tuning["decided"], "undecided")
    by_rate = candidates(tuning)
    first = sorted((c["results"][0], rate) for rate, c in by_rate.items() if not c["beyond_grid"])
    kept = {rate for _, rate in first[:3]}
    final = {rate: c["results"][1] for rate, c in by_rate.items() if c["results"][1] is not None}
    best = min(final, key=final.get)
    equal(by_rate[best]["name"], tuning["best"], "the best")
    order = sorted(by_rate)
    for beside in order[max(order.index(best) - 1, 0):order.index(best) + 2]:
        check(beside in final, "a neighbor of the best did not complete: %g" % beside)
    for rate, c in by_rate.items():
        equal(c["share"], 1.0 if rate in final else 0.25, "share of %g" % rate)
        equal(c["ended_by_rung"], None if rate in kept else 0, "the end of %g" % rate)
        check(rate in kept or "25% of the budget" in c["why"], c["why"])


def the_best_of_each_batch_is_found():
    path = tuned("found")
    shown = sweep(path, "--dry-run").out
    for line in "4 points, 10 candidates in 2 tunings", "tuning: 5.00 budgets":
        check(line in shown, shown)
    check("limits=( training.stop.early=25% training.stop.early=25%" in shown, shown)
    check("hours unknown until a point" in shown and "joules: unknown" in shown, shown)
    done = sweep(path, "--local")
    check("The lowest validation loss after 40 steps" in done.out, done.out)
    check(re.search(r"(?m)^total: 0.\d\d hours", sweep(path, "--dry-run").out), "hours")
    equal(len(tunings("found")), 2, "tunings")
    for tuning in tunings("found"):
        check_tuning(tuning)
    equal(len(points("found")), 4, "points")
    best = {t["best"] for t in tunings("found")}
    check(best <= set(points("found")), "the best are points")
    for name, point in points("found").items():
        equal(point["state"], "done", name)
        equal([record["step"] for record in metrics(point_directory("found", name))
               if "train/loss" in record], list(range(1, 41)), "steps of " + name)
    # a candidate that resumed is the same run as one that never stopped
    whole = os.path.join(WORK, "uncut")
    name = sorted(best)[0]
    check("start" in attempts("found", name)[2:], "it was never cut: %r" % attempts("found", name))
    train(point_directory("found", name) + "/config.yaml", "output=" + whole)
    equal(losses(whole), losses(point_directory("found", name)), "the losses")
    equal(started(sweep(path, "--local")), [], "what was started again")
    # a further seed of each best
    tuned("found", {"data.batch_size": [2, 4], "seed": [1, 2, 3]})
    more = started(sweep(path, "--local"))
    equal(sorted(more), sorted(name.replace("seed-1", "seed-3") for name in best), "a seed more")


def a_cut_study_decides_the_same_without_checkpoints():
    """As after a lost machine: the small files are there, the checkpoints are not."""
    path = tuned("cut", {"data.batch_size": [2], "seed": [1, 2]})
    sweep(path, "--local")
    whole = tunings("cut")[0]
    shutil.rmtree(run_directory("cut"))
    job = start(["sweep", path, "--local"])
    job.wait_for(r"resumes, attempt 2")
    job.send(signal.SIGKILL)
    job.end()
    while " running " in run("sweep", path).out:  # its rank saves and ends without it
        time.sleep(0.05)
    ended = [c["name"] for c in whole["candidates"] if c["share"] < 1]
    before = {name: tree(point_directory("cut", name)) for name in ended}
    for folder in glob.glob(run_directory("cut") + "/*/checkpoints"):
        if os.path.basename(os.path.dirname(folder)) not in ended:
            shutil.rmtree(folder)
    done = sweep(path, "--local")
    check(not set(started(done)) & set(ended), "what had ended ran again: %r" % done)
    again = tunings("cut")[0]
    equal(again["best"], whole["best"], "the best")
    equal([c["results"] for c in again["candidates"]], [c["results"] for c in whole["candidates"]],
          "the results")
    equal({name: tree(point_directory("cut", name)) for name in ended}, before, "what had ended")


def a_best_at_the_edge_widens_the_grid():
    spaced = {"from": 1e-5, "to": 1e-4, "points": 2}
    path = tuned("edge", {"data.batch_size": [2], "seed": [1]}, spaced)
    sweep(path, "--local")
    tuning = tunings("edge")[0]
    added = sorted(rate for rate, c in candidates(tuning).items() if c["beyond_grid"])
    equal(added[:2], [1e-3, 1e-2], "added")
    final = {rate: c["results"][-1] for rate, c in candidates(tuning).items()}
    best = min(final, key=final.get)
    at_edge = best == max(final)
    check(at_edge == ("upper edge" in tuning["edge"]), tuning["edge"])
    path = tuned("listed", {"data.batch_size": [2], "seed": [1]}, [1e-5, 1e-4])
    sweep(path, "--local")
    check("optimizer.lr 0.0001 is at the upper edge" in tunings("listed")[0]["edge"],
          tunings("listed"))
    equal(len(tunings("listed")[0]["candidates"]), 2, "a list stays")


def the_fastest_candidates_go_on():
    path = tuned("fastest", {"seed": [1]}, report__metric="tok_per_s")
    sweep(path, "--local")
    tuning, = tunings("fastest")
    ended = [c for c in tuning["candidates"] if c["ended_by_rung"] == 0]
    check(ended, "nobody was ended: %r" % tuning)
    for c in ended:
        found = re.match(r"([\d.]+) at 25% of the budget; the rung kept ([\d.]+) and more$",
                         c["why"])
        check(found and float(found.group(1)) < float(found.group(2)), c["why"])


def a_candidate_that_diverges_has_lost():
    path = tuned("diverged", {"data.batch_size": [2], "seed": [1]}, [1e-3, 1e-2, 900],
                 optimizer__grad_clip=0, launch__retries=3)
    sweep(path, "--local")
    lost = candidates(tunings("diverged")[0])[900]
    equal((lost["state"], lost["results"], lost["why"]), ("failed", [None], "diverged"), "state")
    equal(attempts("diverged", lost["name"]), ["start", "exit 1"], "attempts")
    check("lr-900" not in tunings("diverged")[0]["best"], "the best")


def a_seed_of_the_best_that_diverges_is_a_failure():
    """The file of its run is changed: which seed diverges cannot be chosen."""
    path = tuned("seeds", {"data.batch_size": [2], "seed": [1, 2]}, [1e-3, 1e-2])
    sweep(path, "--local")
    name = next(name for name in points("seeds") if name != tunings("seeds")[0]["best"])
    directory = point_directory("seeds", name)
    with open(directory + "/summary.json", encoding="utf-8") as file:
        changed = dict(json.load(file), status="failed", outcome="diverged")
    with open(directory + "/summary.json", "w", encoding="utf-8") as file:
        json.dump(changed, file)
    with open(directory + "/attempts.log", "a", encoding="utf-8") as file:
        file.write("start 2026-01-01T00:00:00Z here\nexit 1 2026-01-01T00:00:01Z\n")
    done = sweep(path, "--local", code=1)
    check("1 of 3 points failed; %s: " % name in done.err, done.err)
    with open(run_directory("seeds") + "/report/answer.txt", encoding="utf-8") as file:
        check("1 of 2 runs of batch 2 failed and are not in its mean." in file.read(), "answer")


def a_grown_tuning_ranks_what_stopped_at_its_rungs():
    """Three candidates have the rung 100% alone, five also one of 25%; no old one stopped there."""
    sweep(tuned("grown", {"data.batch_size": [2]}, rates=RATES[1:4]), "--local")
    path = tuned("grown", {"data.batch_size": [2]}, rates=RATES)
    sweep(path, "--local")
    tuning = tunings("grown")[0]
    by_rate = candidates(tuning)
    equal(tuning["rungs"], [0.25, 1.0], "rungs")
    for rate in RATES[1:4]:
        equal((by_rate[rate]["results"][0], by_rate[rate]["ended_by_rung"]), (None, None), rate)
    ended = [rate for rate in RATES if by_rate[rate]["ended_by_rung"] == 0]
    check(len(ended) < 2, "the new ones are ranked among themselves: %r" % ended)
    # by another metric the rungs are read from the runs
    sweep(path, "--report", "report.metric=train/loss")
    results = candidates(tunings("grown")[0])[RATES[0]]["results"]
    check(results[0] is not None and results[0] != by_rate[RATES[0]]["results"][0], results)


def a_rung_that_ends_within_a_step_ranks_all():
    """Its last step ends 7% beyond the share."""
    training = dict(training__stop={"steps": None, "tokens": 41 * 2 * 32},
                    lr_scheduler={"warmup": 2, "decay": "100%", "min_lr": 0})
    sweep(tuned("overshoot", {"data.batch_size": [2]}, **training), "--local")
    tuning = tunings("overshoot")[0]
    check(all(c["results"][0] is not None for c in tuning["candidates"]), tuning)
    equal(sum(c["ended_by_rung"] == 0 for c in tuning["candidates"]), 2, "ended")


def a_metric_that_no_run_logs_is_named():
    done = sweep(tuned("unlogged", {"data.batch_size": [2]}, report__metric="mfu"),
                 "--local", code=1)
    check("no candidate has a number for mfu; set report.metric" in done.err, done)
    equal(points("unlogged"), {}, "results")


def a_rung_that_cannot_be_read_is_waited_for():
    """The other batch is tuned. One failed look costs nothing."""
    grid = {"data.batch_size": [2, 4], "seed": [1]}
    of_two = "read:unread/batch_size-2_lr-0.001_seed-1/rungs.log:"
    path = tuned("unread", grid, [1e-3, 1e-2])
    done = sweep(path, "--local", code=1, **injected(of_two + "1+:5"))
    check("batch_size-2_lr-0.001_seed-1/rungs.log: cannot read it: Input/output error; the same "
          "command resumes" in done.err, repr(done))
    equal([tuning["decided"] for tuning in tunings("unread")], [False, True], "decided")
    sweep(path, "--local")
    path = tuned("unread", grid, [1e-3, 1e-2], output=run_directory("once/unread"))
    sweep(path, "--local", **injected(of_two + "2:5"))
    equal([tuning["decided"] for tuning in tunings("once/unread")], [True, True], "decided")


def a_rung_that_fails_ends():
    """It has retries of its own, and none if it cannot succeed."""
    data, slurm = os.path.join(WORK, "rung.h5"), fake_slurm("rung")
    shutil.copy(corpus() + "/train.h5", data)
    path = tuned("rung", {"seed": [1]}, data__train=data, launch__retries=1)
    sweep(path, "--slurm", **slurm)
    slurm_tasks("rung", slurm)
    os.truncate(data, 100)
    done = sweep(path, "--local", code=1, **slurm)
    check("points failed; " in done.err and data in done.err, repr(done))
    ends = [attempts("rung", c["name"])[2:] for c in tunings("rung")[0]["candidates"]]
    equal(sorted(ends), [[]] * 2 + [["start", "exit 65"]] * 3, "attempts after the first rung")
    check(tunings("rung")[0]["decided"], "it waits")
    equal([p["state"] for p in points("rung").values()], ["failed"], "the result")
    shutil.copy(corpus() + "/train.h5", data)
    sweep(path, "--local", **slurm)
    check_tuning(tunings("rung")[0])


def slurm_submits_rung_by_rung():
    slurm = fake_slurm("tuned")
    path = tuned("rungs", {"data.batch_size": [2], "seed": [1, 2]})
    sweep(path, "--slurm", **slurm)
    counts = []
    for _ in range(8):
        count, out = slurm_tasks("rungs", slurm)
        counts.append(count)
        check("report: " in out, out)
        if "no point is left to run" in out:
            break
    check(counts[0] == 5 and counts[-1] == 1 and 3 <= len(counts) <= 5, "arrays: %r" % counts)
    check_tuning(tunings("rungs")[0])
    equal([point["state"] for point in points("rungs").values()], ["done"] * 2, "states")
    equal(len(lines_of(slurm["FAKE"], "sbatch.log")), 2 * len(counts), "submissions")
    # what was canceled is not submitted again by the job after it, whose squeue is answered late
    fake_program("squeue", "[ -e $FAKE/up ] || { touch $FAKE/up; echo 'slurm_load_jobs error: "
                 "Unable to contact slurm controller' >&2; exit 1; }\n", slurm["FAKE"])
    path = tuned("stays", {"data.batch_size": [2], "seed": [1]})
    sweep(path, "--slurm", **slurm)
    out = sweep(run_directory("stays"), "--slurm", "--next", **slurm).out
    check("no point is left to run" in out, out)


def slurm_goes_on_after_a_rung_that_cannot_be_read():
    """One failed look costs nothing. A tuning whose rungs stay unreadable costs itself alone."""
    slurm = fake_slurm("chain")
    path = tuned("chain", {"data.batch_size": [2, 4], "seed": [1]})
    sweep(path, "--slurm", **slurm)
    slurm_tasks("chain", slurm)  # at its end the first rung is noted
    rungs = "chain/batch_size-2_lr-0.001_seed-1/rungs.log: cannot read it: Input/output error"
    fault = "read:/batch_size-2_lr-0.001_seed-1/rungs.log:"
    done = sweep(path, code=1, **injected(fault + "1+:5"))
    check("points done" in done.out and rungs + "; the same command resumes" in done.err,
          repr(done))
    submitted = len(lines_of(slurm["FAKE"], "sbatch.log"))
    for _ in range(8):
        _, out = slurm_tasks("chain", slurm, injected(fault + "1:5"))
        if "no point is left to run" in out:
            break
    check(len(lines_of(slurm["FAKE"], "sbatch.log")) > submitted, "the chain ended: " + out)
    equal([tuning["decided"] for tuning in tunings("chain")], [True, True], "decided")
    done = sweep(path, "--slurm", "--next", code=1, **slurm, **injected(fault + "1+:5"))
    check(rungs in done.err and len(done.errors()) == 1, repr(done))


def listed_points_have_grids_and_seeds_of_their_own():
    listed = [{"data.batch_size": 2, "seed": [1, 2], "tune": {"optimizer.lr": [1e-3, 1e-2]}},
              {"data.batch_size": 4, "seed": [1, 2]}]
    path = study("listed_points", listed, report__series=None,
                 lr_scheduler={"warmup": 0, "decay": 10, "min_lr": 0})
    sweep(path, "--local")
    equal(sorted(points("listed_points"))[2:], ["batch_size-4_seed-1", "batch_size-4_seed-2"],
          "points")
    equal(len(points("listed_points")), 4, "points")
    equal(len(tunings("listed_points")), 1, "tunings")


def a_study_that_cannot_go_on_notes_the_ends_of_its_points():
    """The best's other seed has no place. What runs beside it is stopped, and saves."""
    listed = [{"seed": [3], "training.stop.steps": 1000000},
              {"seed": [1, 2], "tune": {"optimizer.lr": [1e-3, 1e-2]}}]
    path = study("placeless", listed, report__series=None)
    done = run("sweep", path, "--local", "--parallel=2", **injected("mkdir:seed-2:1+:28"))
    check(done.code == 1 and len(done.errors()) == 1 and "seed-2: cannot make this directory: No "
          "space left on device" in done.errors()[0], repr(done))
    beside = [name for name in os.listdir(run_directory("placeless")) if "seed-3" in name]
    equal([attempts("placeless", name) for name in beside], [["start", "exit 75"]], "attempts")
    check("2 of 4 points done, 1 waiting, 1 interrupted" in done.out, repr(done))


def what_cannot_be_tuned_is_refused():
    short = {"training__stop": {"steps": 30}}
    refused("short", r"ends its first rung after 7.5 steps.*'training.stop.steps' must be at least "
            r"40, or", "--local", sweep={"seed": [1], "tune": {"optimizer.lr": RATES}}, **short)
    refused("brief", r"after 0.5 s.*'training.stop.time' must be at least 4s", "--dry-run",
            sweep={"seed": [1], "tune": {"optimizer.lr": RATES}},
            training__stop={"time": "2s"})
    refused("alone", "--next goes with --slurm", "--next", code=64)


def what_does_not_fit_is_found_once():
    listed = [{"data.batch_size": batch, "tune": {"optimizer.lr": RATES}} for batch in (2, 4096)]
    path = tuned("large", listed, memory_budget="20MiB")
    sweep(path, "--local")
    equal({p["values"]["data.batch_size"]: p["state"] for p in points("large").values()},
          {2: "done", 4096: "oom"}, "points")
    large = tunings("large")[1]["candidates"]
    equal(sum(c["attempts"] for c in large), 1, "attempts")


if __name__ == "__main__":
    main(the_best_of_each_batch_is_found, a_cut_study_decides_the_same_without_checkpoints,
         a_best_at_the_edge_widens_the_grid, the_fastest_candidates_go_on,
         a_candidate_that_diverges_has_lost, a_seed_of_the_best_that_diverges_is_a_failure,
         a_grown_tuning_ranks_what_stopped_at_its_rungs,
         a_rung_that_ends_within_a_step_ranks_all, a_metric_that_no_run_logs_is_named,
         a_rung_that_cannot_be_read_is_waited_for, a_rung_that_fails_ends,
         slurm_submits_rung_by_rung, slurm_goes_on_after_a_rung_that_cannot_be_read,
         listed_points_have_grids_and_seeds_of_their_own,
         a_study_that_cannot_go_on_notes_the_ends_of_its_points,
         what_cannot_be_tuned_is_refused, what_does_not_fit_is_found_once)
