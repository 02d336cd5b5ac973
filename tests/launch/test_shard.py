#!/usr/bin/env python3
"""training.shard_optimizer: a run with sharded moments equals one without in every bit, takes less
memory, and its checkpoints resume with any setting. sanitizers: no"""

import os
import re
import shutil
import signal
import time

from e2e import (WORK, check, checkpoints, config, equal, losses, main, run, run_directory, start,
                 states, summary, train)

STEPS = 6
SHARED = {"training__shard_optimizer": True}


def run_of(name, ranks, batch, accumulation, **changes):
    """8 sequences a step; a checkpoint every second step."""
    changes = dict({"training__stop__steps": STEPS, "checkpoint__interval": "2 steps"}, **changes)
    train(
        config(name, data__batch_size=batch, training__gradient_accumulation_steps=accumulation,
               **changes), ranks=ranks)
    return run_directory(name)


def changes_no_bit():
    for ranks, batch, accumulation, dtype in ((1, 8, 1, "float32"), (2, 2, 2, "float32"),
                                              (4, 2, 1, "float32"), (3, 1, 3, "float32"),
                                              (2, 4, 1, "float64")):
        name = "same_%d_%s_" % (ranks, dtype)
        whole = run_of(name + "whole", ranks, batch, accumulation, training__dtype=dtype)
        shared = run_of(name + "shared", ranks, batch, accumulation, training__dtype=dtype,
                        **SHARED)
        wanted = states(checkpoints(whole))
        equal(states(checkpoints(shared)), wanted, "%d ranks, %s: states" % (ranks, dtype))
        equal(losses(shared), losses(whole), "%d ranks, %s: losses" % (ranks, dtype))
        check(len(wanted) == STEPS // 2 and " finite yes" in wanted[STEPS], repr(wanted))


def moved(source, name, at, ranks, batch, accumulation, **changes):
    """The states of a run that continues from another run's checkpoint at step `at`."""
    path = config(name, data__batch_size=batch, training__gradient_accumulation_steps=accumulation,
                  training__stop__steps=STEPS, checkpoint__interval="2 steps", **changes)
    folder = os.path.join(run_directory(name), "checkpoints")
    os.makedirs(folder)
    shutil.copy(os.path.join(run_directory(source), "config.yaml"), run_directory(name))
    shutil.copy(os.path.join(run_directory(source), "checkpoints", "step_%08d.h5" % at), folder)
    train(path, ranks=ranks)
    return {
        step: state
        for step, state in states(checkpoints(run_directory(name))).items() if step > at
    }


def resumes_anywhere():
    """From shared to not, and back, on as many ranks and on others, it is the run that was never
    shared."""
    run_of("from_whole", 2, 2, 2)
    run_of("from_shared", 2, 2, 2, **SHARED)
    for ranks, batch, accumulation in ((2, 2, 2), (4, 2, 1), (1, 2, 4)):
        wanted = moved("from_whole", "whole_on_%d" % ranks, 2, ranks, batch, accumulation)
        equal(sorted(wanted), [4, STEPS], "steps after the resume")
        for source, changes in (("whole", SHARED), ("shared", {}), ("shared", SHARED)):
            name = "%s_on_%d_%d" % (source, ranks, len(changes) + 1)
            got = moved("from_" + source, name, 2, ranks, batch, accumulation, **changes)
            equal(got, wanted, "from %s, on %d ranks, %r" % (source, ranks, changes))


def takes_less_memory():
    planned = {}
    for ranks in (1, 8):
        for shared in ("false", "true"):
            done = run("train", config("planned"), "--plan", "--ranks=%d" % ranks,
                       "training.shard_optimizer=" + shared, "model.n_embd=256",
                       "training.gradient_accumulation_steps=1")
            check(done.code == 0, done)
            planned[ranks, shared] = float(re.search(r"moments +([0-9.]+)", done.out).group(1))
    equal(planned[1, "true"], planned[1, "false"], "one rank keeps all")
    check(
        abs(planned[8, "true"] - planned[8, "false"] / 8) < 0.2,
        "moments of eight ranks: %r" % planned)
    whole = summary(run_of("bytes_whole", 4, 2, 1, model__n_embd=128))
    shared = summary(run_of("bytes_shared", 4, 2, 1, model__n_embd=128, **SHARED))
    parameters = 4 * 2 * 12 * 128 * 128  # bytes of a vector, at least
    check(whole["planned_bytes"] - shared["planned_bytes"] > 2 * parameters * 0.74,
          "%r, %r" % (whole, shared))


def saves_by_time_and_stops_together():
    """Whether it is time to save is rank 0's to say: the moments come from all ranks."""
    job = start(["train", config("timed", training__stop__steps=10**6, checkpoint__interval="200ms",
                                 checkpoint__keep=2, **SHARED)], 2)
    job.wait_for(r"(?m)^step 40/")
    time.sleep(0.5)
    job.send(signal.SIGUSR1)
    done = job.end()
    equal(done.code, 75, "exit code: %r" % done)
    check(len(checkpoints(run_directory("timed"))) == 2, "two checkpoints are kept")
    again = train(os.path.join(WORK, "timed.yaml"), "training.stop.steps=1", ranks=2)
    check("resumed" in again.out, again)


def names_what_is_not_finite():
    said = set()
    for shared in ("false", "true"):
        path = config("infinite_" + shared, training__stop__steps=50, optimizer__lr=1000,
                      lr_scheduler__warmup=0, optimizer__weight_decay=1000)
        done = run("train", path, "training.shard_optimizer=" + shared, ranks=2)
        equal(done.code, 1, "exit code: %r" % done)
        equal(len(done.errors()), 1, "error lines: %r" % done)
        said.add(re.sub(r"^train: error: (rank \d+: )?", "", done.errors()[0]))
    check(len(said) == 1 and "not finite (first in " in said.pop(), "what was said: %r" % said)


if __name__ == "__main__":
    main(changes_no_bit, resumes_anywhere, takes_less_memory, saves_by_time_and_stops_together,
         names_what_is_not_finite)
