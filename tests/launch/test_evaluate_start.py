#!/usr/bin/env python3
"""evaluation.at_start: an evaluation before the first step, once, which training does not
notice. sanitizers: no"""

import os
import signal

from e2e import (check, checkpoints, config, equal, losses, main, metrics, no_duplicates, run,
                 run_directory, start, summary, train)

STEPS = {"training__stop__steps": 6, "evaluation__interval": 3, "checkpoint__interval": "2 steps"}


def evaluations(directory):
    return {record["step"]: record for record in metrics(directory) if "val/loss" in record}


def it_is_of_the_first_weights_and_changes_no_step():
    for ranks in (0, 2):
        name, plain = "start_%d" % ranks, "plain_%d" % ranks
        done = train(config(name, evaluation__at_start=True, **STEPS), ranks=ranks)
        train(config(plain, **STEPS), ranks=ranks)
        directory = run_directory(name)
        found = evaluations(directory)
        equal(sorted(found), [0, 3, 6], "steps with an evaluation")
        equal(sorted(evaluations(run_directory(plain))), [3, 6], "those without at_start")
        equal(losses(directory), losses(run_directory(plain)), "losses")
        equal(found[0]["tokens"], 0, "tokens before the first step")
        check("step 0 | validation loss %.4f" % found[0]["val/loss"] in done.out, done.out)
        check(", evaluation " in done.out.split("started in ")[1].split("\n")[0], done.out)
        first = checkpoints(directory)[0]
        check(first.endswith("step_00000000.h5"), "the best one so far is not saved: " + first)
        evaluated = run("evaluate", first)
        check("loss %.6f" % found[0]["val/loss"] in evaluated.out, repr(evaluated))


def it_may_stay_the_best():
    """Later evaluations of a run whose learning rate is 0 are no better."""
    train(config("best", evaluation__at_start=True, optimizer__lr=0, lr_scheduler__min_lr=0,
                 checkpoint__keep=1, **STEPS))
    directory = run_directory("best")
    end, found = summary(directory), evaluations(directory)
    equal((end["best_step"], end["best_val_loss"]), (0, found[0]["val/loss"]), "the best one")
    equal(os.path.basename(os.path.realpath(directory + "/checkpoints/best.h5")),
          "step_00000000.h5", "best.h5")


def a_resumed_run_has_one():
    """Also if the run was stopped right after it, or before any step was saved."""
    path, directory = config("again", evaluation__at_start=True, **STEPS), run_directory("again")
    train(path, "training.stop.steps=2")
    train(path)
    equal(sorted(evaluations(directory)), [0, 2, 3, 6], "steps with an evaluation")
    no_duplicates(directory)
    path, directory = (config("killed", evaluation__at_start=True, training__stop__steps=4000,
                              checkpoint__interval=0, checkpoint__best=False),
                       run_directory("killed"))
    job = start(["train", path])
    job.wait_for(r"step 1/")
    job.send(signal.SIGKILL)
    job.end()
    train(path, "training.stop.steps=3")
    equal(sorted(evaluations(directory)), [0, 3], "steps after a start from the beginning")
    no_duplicates(directory)


main(it_is_of_the_first_weights_and_changes_no_step, it_may_stay_the_best, a_resumed_run_has_one)
