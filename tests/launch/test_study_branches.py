#!/usr/bin/env python3
"""Studies whose points continue from checkpoints of one run: budgets with one stable phase, and
batches from forks of a run. Here, on a cluster, cut and continued. sanitizers: no"""

import errno
import os
import re
import shutil
import signal
import time

from e2e import (WORK, check, checkpoints, config, content, corpus, equal, main, metrics, run,
                 run_directory, start, states, summary, train)
from injected import injected
from studies import (MPIRUN, attempts, fake_program, fake_slurm, point_directory, points, refused,
                     slurm_tasks, study, sweep)

WSD = {"shape": "wsd", "warmup": 3, "decay": "50%", "min_lr": 0}
QUIET = {"checkpoint": {"interval": 0, "keep": 1, "best": False}, "report__series": None,
         "report__x": None}


def budgets(name, *values, **changes):
    return study(name, {"budgets": list(values)}, **dict(QUIET, lr_scheduler=WSD, **changes))


def started(done):
    return re.findall(r"(?m)^(\S+): (?:starts|resumes), attempt", done.out)


def budgets_equal_runs_of_their_own():
    path = budgets("steps", 20, 40)
    shown = sweep(path, "--dry-run").out
    check("trunk" in shown and "steps-20" in shown and "steps-40" in shown, shown)
    check("2 points, 4 starts" in shown and "hours unknown until" in shown, shown)
    done = sweep(path, "--local")
    equal(started(done), ["trunk", "trunk", "steps-20", "steps-40"], "starts")
    for budget in 20, 40:
        directory = point_directory("steps", "steps-%d" % budget)
        alone = config("alone_%d" % budget, training__stop={"steps": budget}, lr_scheduler=WSD,
                       checkpoint=QUIET["checkpoint"], evaluation__interval=5)
        train(alone)
        alone = run_directory("alone_%d" % budget)
        equal(states(checkpoints(directory)), states(checkpoints(alone)), "state at %d" % budget)
        equal(summary(directory)["best_val_loss"], summary(alone)["best_val_loss"], "loss")
    equal([p["values"] for p in points("steps").values()],
          [{"training.stop.steps": 20}, {"training.stop.steps": 40}], "points")
    equal(metrics(point_directory("steps", "trunk"))[-1]["step"], 20, "the end of the trunk")
    equal(started(sweep(path, "--local")), [], "what was started again")
    # a longer budget lengthens the trunk
    budgets("steps", 20, 40, 60)
    equal(started(sweep(path, "--local")), ["trunk", "steps-60"], "a longer budget")
    equal(started(sweep(run_directory("steps"), "--local")), [], "by its directory")


def budgets_in_time_share_the_stable_phase():
    """By time the number of steps varies with the load of the machine, so rates are compared: the
    stable one up to the fork, and a decay that ends with the budget."""
    path = budgets("times", "2s", "4s", evaluation__interval=0)
    priced = sweep(budgets("priced", "1h", "2h"), "--dry-run").out
    for line in ("points: 1.50 hours", "trunks: 1.00 hours", "would take 3.00 hours"):
        check(line in priced, priced)
    sweep(path, "--local")
    for budget in 2, 4:
        directory = point_directory("times", "time-%ds" % budget)
        rates = [record["lr"] for record in metrics(directory) if "lr" in record]
        check(rates[0] > 0.8e-3 and rates[-1] < 0.2e-3, "rates: %r" % rates)
        check(summary(directory)["train_s"] >= budget, "seconds")
    check({record["lr"] for record in metrics(point_directory("times", "trunk"))
           if record["step"] > 3 and "lr" in record} == {1e-3}, "the rate of the trunk")
    train(config("alone", training__stop={"time": "2s"}, lr_scheduler=WSD,
                 checkpoint=QUIET["checkpoint"]))
    losses = [summary(d)["best_val_loss"] for d in (run_directory("alone"),
                                                    point_directory("times", "time-2s"))]
    check(abs(losses[0] - losses[1]) < 0.5, "losses: %r" % losses)


BATCHES = {"at": ["25%", "50%"], "tokens": 2560, "data.batch_size": [2, 4, 8]}


def branched(name, block=None, sweep_of=None, **changes):
    """A trunk of 40 steps of 128 tokens."""
    settings = {"training__stop": {"tokens": 5120}, "data__batch_size": 4,
                "training__gradient_accumulation_steps": 1,
                "lr_scheduler": {"shape": "cosine", "warmup": "10%", "decay": "100%", "min_lr": 0},
                "optimizer__lr_reference": {"batch_tokens": 128, "exponent": 0.5}}
    grid = dict(sweep_of or {}, branch=dict(BATCHES, **(block or {})))
    return study(name, grid, **dict(QUIET, **dict(settings, **changes)))


def batches_from_forks_of_a_run():
    path = branched("batches")
    sweep(path, "--local")
    found = points("batches")
    equal(sorted(found), sorted("at-%d_batch_size-%d" % (at, batch)
                                for at in (25, 50) for batch in (2, 4, 8)), "points")
    for name, point in found.items():
        at, batch = int(name[3:5]), point["values"]["data.batch_size"]
        equal(point["branch"]["at"], "%d%%" % at, "at")
        got = [record for record in metrics(point_directory("batches", name))
               if "train/loss" in record]
        cut = 5120 * at // 100
        equal((got[0]["tokens"], got[-1]["tokens"]), (cut + 32 * batch, cut + 2560), name)
        equal(summary(point_directory("batches", name))["steps"],
              cut // (32 * batch) + 2560 // (32 * batch), "steps of " + name)
    # with the batch of the trunk, a branch is the trunk
    whole = os.path.join(WORK, "whole")
    train(config("whole", output=whole, training={"stop": {"tokens": 5120, "early": "3840 tokens"},
                                                  "gradient_accumulation_steps": 1},
                 data__batch_size=4, checkpoint=QUIET["checkpoint"],
                 lr_scheduler={"shape": "cosine", "warmup": "10%", "decay": "100%", "min_lr": 0},
                 optimizer={"lr": 1e-3, "lr_reference": {"batch_tokens": 128, "exponent": 0.5}}))
    equal(states(checkpoints(whole)),
          states(checkpoints(point_directory("batches", "at-25_batch_size-4"))), "the state")
    # a batch more
    branched("batches", {"data.batch_size": [1, 2, 4, 8]})
    equal(started(sweep(path, "--local")), ["at-25_batch_size-1", "at-50_batch_size-1"], "more")


def forks_of_a_run_that_is_there():
    """The nearest checkpoints of another run; branches of another model are refused."""
    train(config("there", training={"stop": {"steps": 40}, "gradient_accumulation_steps": 1},
                 data__batch_size=4, checkpoint={"interval": 10, "keep": 9, "best": False}))
    there = run_directory("there")
    path = branched("of_run", {"run": there, "at": ["26%", "50%"]})
    sweep(path, "--local")
    for name, point in points("of_run").items():
        equal((point["state"], point["branch"]["tokens"]),
              ("done", 1280 if "at-26" in name else 2560), name)
        with open(point_directory("of_run", name) + "/config.yaml", encoding="utf-8") as file:
            check("checkpoints/step_000000%d.h5" % (10 if "at-26" in name else 20) in file.read(),
                  name)
    refused("far", r"has no checkpoint near 10% of its run", **of_branch(run=there, at=["10%"]))
    refused("model", r"branch at-50_batch_size-2: the run to branch from differs in model.n_layer",
            model__n_layer=1, **of_branch(run=there, at=["50%"]))
    refused("nowhere", "no_such_run is no run", **of_branch(run="no_such_run"))


TOKENS = {"training__stop": {"tokens": 5120}, "training__gradient_accumulation_steps": 1,
          "lr_scheduler": {"shape": "constant", "warmup": 0}, "report__series": None}


def of_branch(**block):
    return dict(TOKENS, sweep={"branch": dict(BATCHES, **block)})


def of_budgets(*values, **changes):
    return dict(changes, sweep={"budgets": list(values)},
                lr_scheduler=dict(WSD, **changes.pop("lr_scheduler", {})))


def what_cannot_be_branched_is_refused():
    refused("long", "branches at 25% end after 6400 tokens, but the schedule ends after 5120",
            **of_branch(tokens=5120))
    refused("short", r"branch at-25_batch_size-8 trains 5 steps.*must be at least 2560",
            **of_branch(tokens=1280))
    refused("unit", "it needs 'training.stop.tokens', and neither steps nor time",
            **dict(of_branch(), training__stop={"steps": 40}))
    refused("warmup", "'lr_scheduler.warmup' in tokens or percent", **dict(
        of_branch(), lr_scheduler={"shape": "constant", "warmup": 5}))
    refused("brief", "the budget 10 is too short: its decay takes 5 steps, and the least is 10",
            **of_budgets(10, 40))
    refused("warm", "the budget 20 is too short: warm-up and decay take 25 of 20",
            **of_budgets(20, 40, lr_scheduler={"warmup": 15}))
    refused("share", "'lr_scheduler.warmup' in steps or tokens",
            **of_budgets(20, 40, lr_scheduler={"warmup": "10%"}))
    refused("shape", "'budgets' needs 'lr_scheduler.shape' wsd",
            **of_budgets(20, 40, lr_scheduler={"shape": "linear", "decay": "100%"}))
    refused("minutes", "'lr_scheduler.decay' needs a percentage or the unit of the budgets",
            **of_budgets("2m", "4m", lr_scheduler={"decay": 5}))
    # the directory of another study
    sweep(budgets("other", 20, 40), "--local")
    path = budgets("other", 20, 40, optimizer__lr=2e-3)
    check("contains another study" in sweep(path, "--local", code=78).err, "another study")


def a_stage_that_fails_ends():
    """At once if it cannot succeed, or after its own retries. The stage before it is done."""
    data, once = os.path.join(WORK, "stage.h5"), {"data__train": os.path.join(WORK, "stage.h5"),
                                                  "launch__retries": 1}
    shutil.copy(corpus() + "/train.h5", data)
    path = budgets("stage", 20, 30, **once)
    sweep(path, "--local")
    before = attempts("stage", "trunk")
    budgets("stage", 20, 30, 60, **once)
    os.truncate(data, 100)
    done = sweep(path, "--local", code=1)
    check("points failed; trunk: " in done.err and data in done.err, repr(done))
    equal(attempts("stage", "trunk"), before + ["start", "exit 65"], "a final failure")
    shutil.copy(corpus() + "/train.h5", data)
    sweep(path, "--local", code=1, **injected("write:/trunk/run.lock:1+:28"))
    equal(attempts("stage", "trunk"), before + ["start", "exit 65"] + ["start", "exit 1"] * 2,
          "other failures")
    budgets("stage", 20, 30, 60, **dict(once, launch__retries=2))
    equal(started(sweep(path, "--local")), ["trunk", "steps-60"], "the last attempt")


def a_stage_that_is_done_is_no_failure_of_its_launcher():
    path = budgets("launched", 20, 40, launch__local__ranks=2, launch__retries=0)
    sweep(path, "--local", PATH=fake_program("mpirun", MPIRUN))
    equal(attempts("launched", "trunk"), ["start", "exit 0"] * 2, "attempts")


def a_fork_that_cannot_be_made_is_waited_for():
    """The other trunk goes on, here and on a cluster, whose later jobs make the fork."""
    grid, settings = {"seed": [1, 2], "budgets": [20, 40]}, dict(QUIET, lr_scheduler=WSD)
    path, full = study("fork", grid, **settings), injected("mkdir:/trunk_seed-1/forks:1+:28")
    done = sweep(path, "--local", code=1, **full)
    check("forks: cannot make this directory: No space left on device" in done.err
          and "; the same command resumes" in done.err, repr(done))
    states = [p["state"] for p in points("fork").values()]
    equal(states, ["waiting"] * 2 + ["done"] * 2, "states")
    equal(attempts("fork", "trunk_seed-1"), ["start", "exit 0"], "the trunk waits")
    sweep(path, "--local")
    slurm = fake_slurm("forks")
    sweep(study("forks", grid, **settings), "--slurm", **slurm)
    _, out = slurm_tasks("forks", slurm, full, code=1)
    for _ in range(5):
        if "no point is left to run" in out:
            break
        _, out = slurm_tasks("forks", slurm)
    equal([p["state"] for p in points("forks").values()], ["done"] * 4, "states on a cluster")


def checkpoints_on_another_disk_are_copied():
    """A file cannot be linked from there."""
    path, trunk = budgets("far", 20, 40), point_directory("far", "trunk")
    sweep(path, "--local", **injected("link:/forks/at_:1+:%d" % errno.EXDEV))
    equal([p["state"] for p in points("far").values()], ["done"] * 2, "states")
    fork, last = trunk + "/forks/at_40.h5", checkpoints(trunk)[-1]
    check(content(fork) == content(last) and not os.path.samefile(fork, last), "no copy")


def a_cut_study_goes_on():
    path = budgets("cut", 20, 40, 300)
    job = start(["sweep", path, "--local"])
    job.wait_for(r"(?s)trunk: resumes.*trunk: resumes")
    job.send(signal.SIGKILL)
    job.end()
    while " running " in run("sweep", path).out:  # its rank goes on without it
        time.sleep(0.05)
    again = sweep(path, "--local")
    equal([p["state"] for p in points("cut").values()], ["done"] * 3, "states")
    equal(started(again)[-3:], ["steps-20", "steps-40", "steps-300"], "starts")
    # a fork that the trunk has passed
    path = budgets("cut", 20, 30, 40, 300)
    passed = sweep(path, code=78)
    check("has no checkpoint of 30, and the run has passed it" in passed.err, passed)


def slurm_submits_stage_by_stage():
    slurm = fake_slurm("branches")
    path = budgets("stages", 20, 40)
    sweep(path, "--slurm", **slurm)
    counts = []
    for _ in range(4):
        count, out = slurm_tasks("stages", slurm)
        counts.append(count)
        if "no point is left to run" in out:
            break
    equal(counts, [1, 2, 1], "arrays")
    equal([p["state"] for p in points("stages").values()], ["done"] * 2, "states")
    equal(attempts("stages", "trunk"), ["start", "exit 0"] * 2, "the trunk")


main(budgets_equal_runs_of_their_own, budgets_in_time_share_the_stable_phase,
     batches_from_forks_of_a_run, forks_of_a_run_that_is_there, what_cannot_be_branched_is_refused,
     a_stage_that_fails_ends, a_stage_that_is_done_is_no_failure_of_its_launcher,
     a_fork_that_cannot_be_made_is_waited_for, checkpoints_on_another_disk_are_copied,
     a_cut_study_goes_on, slurm_submits_stage_by_stage)
