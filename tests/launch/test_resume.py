#!/usr/bin/env python3
"""A run that is interrupted at any point and resumed equals the uninterrupted one, bit for bit.

Every checkpoint of the interrupted run is compared with that of the uninterrupted run at the same
step by the hashes of its weights and moments, not by its loss. sanitizers: no"""

import errno
import os
import random
import re
import signal
import struct
import time

from e2e import (check, checkpoints, config, corpus, equal, losses, main, metrics, no_duplicates,
                 run, run_directory, start, states, summary, train, tree)
from injected import injected

STEPS = 150
rng = random.Random()


def uninterrupted(ranks, **changes):
    """The directory and the states of a run without a cut; made once for each kind."""
    name = "whole_%d_%d" % (ranks, abs(hash(tuple(sorted(changes.items())))) % 10**6)
    directory = run_directory(name)
    if not os.path.exists(directory):
        train(config(name, **{"training__stop__steps": STEPS, **changes}), ranks=ranks)
    return directory, states(checkpoints(directory))


def same_as_uninterrupted(directory, ranks, **changes):
    whole, wanted = uninterrupted(ranks, **changes)
    got = states(checkpoints(directory))
    check(got, directory + ": no checkpoints")
    for step, state in sorted(got.items()):
        equal(state, wanted[step], "%s: the state at step %d" % (directory, step))
    no_duplicates(directory)
    equal(losses(directory), {k: v
                              for k, v in losses(whole).items() if k <= max(got)},
          "the logged losses")
    seconds = [record["train_s"] for record in metrics(directory)]
    equal(seconds, sorted(seconds), "training seconds, which only grow")


def cut(path, ranks, how, after_checkpoint=False):
    """Starts the run and interrupts it at a random time after its first step. None if it was done
    before."""
    job = start(["train", path], ranks)
    targets = job.ranks(ranks) if ranks and how == "kill" else [job.process.pid]
    job.wait_for(r"(?m)^(step \d+/|done)")
    while after_checkpoint and not checkpoints_of(path) and job.process.poll() is None:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.08))
    number = {
        "kill": signal.SIGKILL, "save": signal.SIGUSR1, "stop": signal.SIGTERM,
        "ctrl-c": signal.SIGINT
    }[how]
    for pid in targets:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
    done = job.end()
    if "\ndone: " in done.out:
        return None
    check(done.code != 0, "%s: exit 0 of a run that was cut: %r" % (how, done))
    if how == "save":
        equal(done.code, 75, "exit code after SIGUSR1: %r" % done)
        check(
            summary(os.path.dirname(checkpoints_of(path)[0]) + "/..")["status"] == "stopped",
            "summary after SIGUSR1")
    if how in ("stop", "ctrl-c") and not ranks:
        equal(done.code, 75, "exit code: %r" % done)
        check(len(done.errors()) == 1 and "stopped by" in done.errors()[0], "%s: %r" % (how, done))
    return done


def checkpoints_of(path):
    return checkpoints(run_directory(os.path.basename(path)[:-len(".yaml")]))


def cut_and_resume(name, ranks, cuts, interval, **changes):
    path = config(
        name, **{
            "training__stop__steps": STEPS, "checkpoint__interval": "%d steps" % interval, **changes
        })
    landed = 0
    for how in cuts:
        if cut(path, ranks, how, after_checkpoint=True) is None:
            break
        landed += 1
    check(landed >= 1, "the run was too short to be cut")
    done = train(path, ranks=ranks)
    directory = run_directory(name)
    equal(summary(directory)["status"], "done", "status")
    equal(summary(directory)["steps"], STEPS, "steps")
    check(re.search(r"(?m)^resumed from \S+ at step \d+$", done.out),
          "says nothing of resuming: %r" % done)
    same_as_uninterrupted(directory, ranks, **changes)


def one_rank_cut_in_every_way():
    cut_and_resume("one", 0, ["save", "stop", "ctrl-c", "kill", "save", "kill"], interval=1)


def two_ranks_cut_in_every_way():
    cut_and_resume("two", 2, ["save", "stop", "ctrl-c", "kill", "save", "kill"], interval=1)


def steps_between_checkpoints_are_done_again():
    cut_and_resume("sparse", 0, ["kill", "save", "kill"], interval=7)


def killed_again_and_again():
    cut_and_resume("often", 0, ["kill"] * 6, interval=3)


def in_double_precision_and_with_evaluation():
    cut_and_resume("double", 0, ["save", "kill"], interval=2, training__dtype="float64",
                   evaluation__interval=5)


def from_a_checkpoint_that_is_named():
    whole, wanted = uninterrupted(0)
    path = os.path.join(whole, "checkpoints", "step_%08d.h5" % (STEPS // 2))
    train(config("named", training__stop__steps=STEPS), "--resume=" + path)
    equal(sorted(states(checkpoints(run_directory("named")))),
          list(range(STEPS // 2 + 1, STEPS + 1)), "steps")
    equal(states(checkpoints(run_directory("named"))[-1:])[STEPS], wanted[STEPS], "the last state")


def an_evaluation_that_no_checkpoint_knows_is_recorded_once():
    """The last evaluation is recorded, then the checkpoint of its step is written again."""
    path, directory = config("unsaved"), run_directory("unsaved")
    done = run("train", path, **injected("rename:step_00000010:2:%d" % errno.EIO))
    equal(done.code, 1, repr(done))
    evaluated = lambda: [record["step"] for record in metrics(directory) if "val/loss" in record]
    equal(evaluated(), [10], "before: %r" % done)
    train(path)
    equal(evaluated(), [10], "after the resume")
    no_duplicates(directory)


def a_run_that_is_done_stays_as_it_is():
    path, directory = config("finished", evaluation__interval=5), run_directory("finished")
    train(path)
    before, records = summary(directory), metrics(directory)
    states_before = states(checkpoints(directory))
    train(path)
    after = summary(directory)
    for key in before:
        check(key in ("peak_bytes", "start_s") or before[key] == after[key],
              "%s: %r became %r" % (key, before[key], after[key]))
    equal(metrics(directory), records, "metrics of a run that was done")
    equal(states(checkpoints(directory)), states_before, "checkpoints")


def a_raised_stop_rule_goes_on():
    path, directory = config("raised"), run_directory("raised")
    train(path)
    train(path, "training.stop.steps=%d" % STEPS)
    same_as_uninterrupted(directory, 0)
    equal(summary(directory)["steps"], STEPS, "steps")


def what_may_change_freely():
    path, directory = config("free"), run_directory("free")
    train(path)
    train(path, "training.stop.steps=20", "logging.interval=5", "evaluation.interval=10",
          "checkpoint.keep=3", "deadline=9s")
    equal([os.path.basename(p) for p in checkpoints(directory)],
          ["step_%08d.h5" % s for s in (18, 19, 20)], "kept")
    _, wanted = uninterrupted(0)
    equal(states(checkpoints(directory))[20], wanted[20], "the state")
    equal(sorted(losses(directory)), [*range(1, 11), 15, 20], "logged steps")


def the_best_is_of_the_tokens_of_now():
    """A loss on other tokens may be lower than all that follow."""
    path, directory = config("ruler", evaluation__interval=5), run_directory("ruler")
    train(path)
    spoiled = dict(summary(directory))
    with open(corpus() + "/hard.bin", "wb") as file:
        file.write(struct.pack("<64H", *(7 * i % 251 for i in range(64))))
    for more in (["evaluation.tokens=40"], ["data.val=null"], ["data.val=" + file.name]):
        steps = summary(directory)["steps"] + 5
        done = train(path, *more, "training.stop.steps=%d" % steps)
        now = summary(directory)
        says = "evaluations were of other tokens: their records are removed" in done.out
        if more == ["data.val=null"]:
            check(not says and now["best_step"] == steps - 5, repr(now))
        else:
            check(says and now["best_step"] >= steps - 5, "%s: %r" % (more, now))
            evaluated = [record["step"] for record in metrics(directory) if "val/loss" in record]
            check(evaluated and min(evaluated) >= steps - 5, "%s: of other tokens: %r" %
                  (more, evaluated))
            equal([now["best_val_loss"]], [
                record["val/loss"] for record in metrics(directory)
                if record["step"] == now["best_step"] and "val/loss" in record
            ], more)
    check(now["best_val_loss"] > spoiled["best_val_loss"], "the other file is not harder")
    done = train(path, more[0], "training.stop.steps=%d" % (steps + 1))
    check("starts anew" not in done.out, done.out)


def a_run_that_is_done_is_evaluated_on_the_tokens_of_now():
    """It has nothing to train, but its evaluations are of other tokens than asked for."""
    path, directory = config("measured", evaluation__interval=5), run_directory("measured")
    train(path)
    before = losses(directory), states(checkpoints(directory))
    for tokens, starts_anew in ((40, True), (64, False)):  # rounded up to whole windows of 32
        done = train(path, "evaluation.tokens=%d" % tokens)
        equal("the best one starts anew" in done.out, starts_anew, "%d: %r" % (tokens, done))
        now = summary(directory)
        evaluated = [record for record in metrics(directory) if "val/loss" in record]
        equal([now["status"], now["best_step"], now["val_tokens"]], ["done", 10, 64], "summary")
        equal([record["step"] for record in evaluated], [10], "evaluations")
        equal(now["best_val_loss"], evaluated[-1]["val/loss"], "the best")
        equal((losses(directory), states(checkpoints(directory))), before, "losses and states")


def another_config_is_refused_field_by_field():
    path, directory = config("refused"), run_directory("refused")
    train(path)
    before = tree(directory)
    for ranks in (0, 2):
        done = train(path, "seed=8", "model.n_embd=48", "optimizer.betas=[0.9, 0.99]", ranks=ranks,
                     code=78)
        equal(len(done.errors()), 1, "error lines: %r" % done)
        for field in ("seed (saved 7, now 8)", "model.n_embd (saved 32, now 48)",
                      "optimizer.betas (saved [0.9, 0.95], now [0.9, 0.99])"):
            check(field in done.errors()[0], "%s is not named: %r" % (field, done))
        check(directory in done.errors()[0], "the run is not named: %r" % done)
    equal(tree(directory), before, "the run's files")


def a_named_checkpoint_of_another_config_writes_nothing():
    whole, _ = uninterrupted(0)
    done = train(config("other", seed=8), "--resume=" + checkpoints(whole)[3], code=78)
    check("seed (saved 7, now 8)" in done.errors()[0] and checkpoints(whole)[3] in done.errors()[0],
          repr(done))
    check(not os.path.exists(run_directory("other")), "a directory was left behind")


def cut_before_the_first_checkpoint():
    path, directory = config("early", checkpoint__interval=0,
                             training__stop__steps=100000), run_directory("early")
    cut(path, 0, "kill")
    equal(checkpoints(directory), [], "checkpoints")
    done = train(path, "seed=8", "training.stop.steps=10", code=78)
    check("seed (saved 7, now 8)" in done.errors()[0], repr(done))
    train(path, "training.stop.steps=10")
    no_duplicates(directory)
    _, wanted = uninterrupted(0)
    equal(states(checkpoints(directory)), {10: wanted[10]}, "the state")


def killed_while_it_took_the_directory():
    directory = run_directory("locked")
    os.makedirs(directory)
    open(os.path.join(directory, "run.lock"), "w").close()
    train(config("locked"))


def nearly_the_losses_of(whole, directory):
    """Another division of the global batch adds in another order."""
    got, wanted = losses(directory), losses(run_directory(whole))
    equal(sorted(got), list(range(1, 21)), "steps")
    for step, loss in wanted.items():
        check(
            abs(got[step] - loss) <= 1e-5 * loss,
            "step %d: loss %r, not %r" % (step, got[step], loss))


def another_rank_count():
    """The same global batch continues with the same data; another one is refused, with the fix."""
    path, directory = config("ranks", model__dropout=0.0), run_directory("ranks")
    train(path, ranks=2)
    before = tree(directory)
    done = train(path, "training.stop.steps=20", code=78)
    check(
        re.search(r"8 sequences a step on 2 ranks, this run has 4 on 1; set .*accumulation is 8$",
                  done.errors()[0]), repr(done))
    equal(tree(directory), before, "the run's files")
    train(path, "training.stop.steps=20", "training.gradient_accumulation_steps=4")
    train(config("ranks_whole", model__dropout=0.0, training__stop__steps=20), ranks=2)
    nearly_the_losses_of("ranks_whole", directory)


def another_micro_batch():
    """The same global batch continues with the same data, in micro-batches that fit another
    machine."""
    path, directory = config("micro", model__dropout=0.1, data__batch_size=4,
                             training__gradient_accumulation_steps=2), run_directory("micro")
    train(path)
    done = train(path, "data.batch_size=3", code=78)
    check(
        re.search(
            r"8 sequences a step on 1 ranks, this run has 6 on 1; set .*data.batch_size.* is 8$",
            done.errors()[0]), repr(done))
    before = tree(directory)
    for step, arguments, ranks in ((14, [
            "data.batch_size=2", "training.gradient_accumulation_steps=4"
    ], 0), (17, ["data.batch_size=1", "training.gradient_accumulation_steps=4"],
            2), (20, ["data.batch_size=8", "training.gradient_accumulation_steps=1"], 0)):
        done = train(path, "training.stop.steps=%d" % step, *arguments, ranks=ranks)
        check("data.batch_size (saved " in done.out, done.out)
    check(before != tree(directory), "nothing was trained")
    train(config("micro_whole", model__dropout=0.1, training__stop__steps=20, data__batch_size=4))
    nearly_the_losses_of("micro_whole", directory)


def a_changed_schedule_goes_on():
    """A finished run continues under another schedule: the changes are reported and written to
    config.yaml."""
    path, directory = config("schedule", lr_scheduler={"warmup": 5, "decay": 10,
                                                       "min_lr": 1e-4}), run_directory("schedule")
    train(path)
    longer = [
        "training.stop.steps=20", "lr_scheduler.decay=20", "lr_scheduler.min_lr=1e-5",
        "lr_scheduler.warmup=6", "evaluation.interval=7", "logging.interval=2",
        "checkpoint.interval=6 steps", "checkpoint.best=false"
    ]
    done = train(path, *longer)
    said = [
        line for line in done.out.splitlines() if line.startswith("changed since it was saved: ")
    ]
    equal(len(said), 1, "lines")
    for change in ("training.stop.steps (saved 10, now 20)",
                   "lr_scheduler.decay (saved 10, now 20)",
                   "lr_scheduler.min_lr (saved 0.0001, now 1e-05)",
                   "lr_scheduler.warmup (saved 5, now 6)", "evaluation.interval (saved 0, now 7)",
                   "logging.interval (saved 1, now 2)", "checkpoint.interval (saved 1, now 6)",
                   "checkpoint.best (saved true, now false)"):
        check(change in said[0], "%s is not said: %s" % (change, said[0]))
    rates = {record["step"]: record["lr"] for record in metrics(directory) if "lr" in record}
    check(rates[10] < 1.1e-4 + 1e-4 and rates[12] > 2 * rates[20] and rates[20] < 3e-5, repr(rates))
    with open(directory + "/config.yaml", encoding="utf-8") as file:
        check("decay: 20" in file.read(), "config.yaml is of before")
    done = train(path, *longer)
    check("changed since" not in done.out, done.out)


def an_automatic_batch_size_is_frozen():
    path, directory = config("auto", data__batch_size="auto",
                             memory_budget="3MiB"), run_directory("auto")
    train(path)
    chosen = summary(directory)["batch_size"]
    check(chosen > 1, "batch size %d" % chosen)
    train(path, "training.stop.steps=12", "memory_budget=1GiB")
    equal(summary(directory)["batch_size"], chosen, "the batch size after a resume")


if __name__ == "__main__":
    main(one_rank_cut_in_every_way, two_ranks_cut_in_every_way,
         steps_between_checkpoints_are_done_again, killed_again_and_again,
         in_double_precision_and_with_evaluation, from_a_checkpoint_that_is_named,
         an_evaluation_that_no_checkpoint_knows_is_recorded_once,
         a_run_that_is_done_stays_as_it_is, a_raised_stop_rule_goes_on, what_may_change_freely,
         the_best_is_of_the_tokens_of_now,
         a_run_that_is_done_is_evaluated_on_the_tokens_of_now,
         another_config_is_refused_field_by_field,
         a_named_checkpoint_of_another_config_writes_nothing, cut_before_the_first_checkpoint,
         killed_while_it_took_the_directory, another_rank_count, another_micro_batch,
         a_changed_schedule_goes_on, an_automatic_batch_size_is_frozen)
