#!/usr/bin/env python3
"""The checkpoint from which a run resumes, and those that it keeps: it resumes from the newest good
one and skips only damaged ones, keeps the best one, and moves abandoned ones aside. (fast lane)
sanitizers: no"""

import json
import os
import shutil
import subprocess

from e2e import (ENVIRONMENT, PROGRAMS, WORK, Skip, check, checkpoints, config, equal, losses, main,
                 metrics, no_duplicates, run, run_directory, states, summary, train)


def steps_of(directory):
    return [int(os.path.basename(path)[5:-3]) for path in checkpoints(directory)]


def a_newest_checkpoint_without_permission_stops_the_run():
    """root can read everything, so the run belongs to another user."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        raise Skip("root may read everything, and there is no setpriv")
    path, directory = config("closed"), run_directory("closed")
    os.chmod(WORK, 0o755)
    os.makedirs(directory)
    drop = []
    if os.geteuid() == 0:
        os.chown(directory, 65534, 65534)
        drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    copy = shutil.copy(PROGRAMS + "/train", WORK + "/train_copy")

    def start():
        return subprocess.run([*drop, copy, path], env=ENVIRONMENT, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    done = start()
    equal(done.returncode, 0, done.stderr)
    newest = checkpoints(directory)[-1]
    with open(newest, "rb") as file:
        before = file.read()
    os.chmod(newest, 0)
    done = start()
    equal((done.returncode, done.stderr.count("\n")), (1, 1), done.stderr)
    check(
        newest + ": cannot open it: Permission denied" in done.stderr and
        "never skipped" in done.stderr, done.stderr)
    os.chmod(newest, 0o644)
    with open(newest, "rb") as file:
        check(file.read() == before, "the good checkpoint was written over")
    equal(start().returncode, 0, "once it can be read")


def an_older_checkpoint_leaves_no_gap():
    """The newer ones are moved aside: the next start continues from the end of this one."""
    path, directory = config("older", training__stop__steps=20,
                             checkpoint__interval="5 steps"), run_directory("older")
    train(path)
    equal(steps_of(directory), [5, 10, 15, 20], "steps")
    wanted = states(checkpoints(directory))
    done = train(path, "--resume=" + checkpoints(directory)[0], "training.stop.steps=7")
    equal(steps_of(directory), [5, 7], "steps")
    equal([name for name in sorted(os.listdir(directory + "/checkpoints")) if "aside" in name],
          ["step_%08d.h5.aside-1" % step for step in (10, 15, 20)], "what was abandoned")
    check("3 newer checkpoints are moved aside, to " in done.out, done.out)
    done = train(path)
    check("at step 7\n" in done.out, done.out)
    no_duplicates(directory)
    equal(sorted(losses(directory)), list(range(1, 21)), "logged steps")
    equal(states(checkpoints(directory))[20], wanted[20], "the last state")


def the_best_checkpoint_is_there():
    """The validation loss rises after its first evaluations: a learning rate that is far too high
    from step 30 on."""
    path, directory = config("best", training__stop__steps=60, checkpoint__interval="7 steps",
                             checkpoint__keep=1, evaluation__interval=5, optimizer__lr=0.5,
                             optimizer__grad_clip=0.0,
                             lr_scheduler={"warmup": 300, "decay": 1000,
                                           "min_lr": 0.0}), run_directory("best")
    train(path)
    end = summary(directory)
    best = min((record["val/loss"], record["step"]) for record in metrics(directory)
               if "val/loss" in record)
    equal((end["best_val_loss"], end["best_step"]), best, "the best evaluation")
    check(0 < end["best_step"] < 56, "the best step is no test: %d" % end["best_step"])
    equal(steps_of(directory), sorted({end["best_step"], 60}), "the best and the newest one")
    done = run("evaluate", directory + "/checkpoints/best.h5", "--json")
    equal((done.code, json.loads(done.out)["step"]), (0, end["best_step"]), "best.h5")
    check(abs(json.loads(done.out)["loss"] - end["best_val_loss"]) < 1e-8, "its loss: " + done.out)
    done = train(path, "training.stop.steps=64")
    check("at step 60\n" in done.out, "it goes on from the newest, not the best: " + done.out)
    equal(steps_of(directory), sorted({summary(directory)["best_step"], 64}), "after a resume")


def without_the_best():
    path, directory = config("newest", checkpoint__interval="4 steps", evaluation__interval=3,
                             checkpoint__best=False), run_directory("newest")
    train(path)
    equal(steps_of(directory), [4, 8, 10], "steps")


def a_step_that_was_not_kept_does_not_count():
    path, directory = config("wild", optimizer__lr=1000,
                             lr_scheduler={"warmup": 0, "decay": 100, "min_lr": 0},
                             optimizer__grad_clip=0, checkpoint__interval=0), run_directory("wild")
    done = train(path, code=1)
    bad = int(done.errors()[0].split("step ")[1].split(":")[0])
    end = summary(directory)
    equal((end["status"], end["steps"], end["tokens"]), ("failed", bad - 1, (bad - 1) * 128),
          "what was kept")
    check("-nan" not in done.out + done.err, "a NaN with a sign: %r" % done)


if __name__ == "__main__":
    main(a_newest_checkpoint_without_permission_stops_the_run, an_older_checkpoint_leaves_no_gap,
         the_best_checkpoint_is_there, without_the_best, a_step_that_was_not_kept_does_not_count)
