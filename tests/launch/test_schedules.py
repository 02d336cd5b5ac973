#!/usr/bin/env python3
"""Schedules over a run that a time limit ends: the learning rate of each step follows from the step
and the time of the one before, over ranks and a resume, and ends with the budget. sanitizers: no"""

import os
import shutil
import signal
import subprocess

from e2e import (WORK, Skip, check, checkpoints, config, equal, losses, main, metrics,
                 run_directory, start, states, train)

LR, BUDGET = 1e-3, 2.0


def wanted(step, seconds):
    """wsd with 5% warm-up and 60% decay, of the step with this index."""
    steps = step * BUDGET / seconds
    warmup, decay = 0.05 * steps, 0.6 * steps
    if step < warmup:
        return LR * (step + 1) / (warmup + 1)
    return LR * min(1, (steps - step) / decay)


def steps_of(directory):
    return [record for record in metrics(directory) if "lr" in record]


def check_rates(directory):
    records = steps_of(directory)
    check(len(records) > 20, "only %d steps" % len(records))
    for before, record in zip(records, records[1:]):
        if record["step"] != before["step"] + 1:
            continue
        got, expected = record["lr"], wanted(before["step"], before["train_s"])
        check(abs(got - expected) <= 0.02 * LR,
              "step %d: %g, not %g" % (record["step"], got, expected))
    check(records[-1]["lr"] < 0.1 * LR, "the last learning rate is %g" % records[-1]["lr"])
    check(max(record["lr"] for record in records) > 0.97 * LR, "the rate never reaches its maximum")


def timed(name):
    return config(name, training__stop={"time": "%gs" % BUDGET}, checkpoint__interval=0,
                  optimizer={"lr": LR}, evaluation__interval=0,
                  lr_scheduler={"shape": "wsd", "warmup": "5%", "decay": "60%", "min_lr": 0})


def ends_with_its_budget():
    train(timed("timed_two"), ranks=2)
    check_rates(run_directory("timed_two"))


def an_early_end_is_a_part_of_the_whole_run():
    """Its rates are those of the whole run, which a later end continues to the last bit."""
    changes = {"training__stop": {"steps": 20}, "checkpoint__interval": 0,
               "lr_scheduler": {"shape": "linear", "warmup": "10%", "decay": "100%", "min_lr": 0}}
    train(config("early_whole", **changes))
    path = config("early_cut", **changes)
    train(path, "training.stop.early=25%")
    equal(max(losses(run_directory("early_cut"))), 5, "the last step at 25%")
    train(path, "training.stop.early=12 steps")
    equal(max(losses(run_directory("early_cut"))), 12, "the last step")
    train(path)
    whole, cut = run_directory("early_whole"), run_directory("early_cut")
    equal([r["lr"] for r in steps_of(cut)], [r["lr"] for r in steps_of(whole)], "rates")
    equal(losses(cut), losses(whole), "losses")
    equal(states(checkpoints(cut)[-1:]), states(checkpoints(whole)[-1:]), "the last state")


def goes_on_after_a_resume():
    path = timed("timed_resumed")
    job = start(["train", path], 2)
    job.wait_for(r"(?m)^step 30 ")
    job.send(signal.SIGUSR1)
    equal(job.end().code, 75, "exit code after SIGUSR1")
    done = train(path, ranks=2)
    check("resumed from" in done.out, done)
    check_rates(run_directory("timed_resumed"))


# A clock that only the products of the program move, a millisecond each.
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))
static long products;

void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                 int lda, const float *b, int ldb, float beta, float *c, int ldc) {
    __atomic_fetch_add(&products, 1, __ATOMIC_RELAXED);
    NEXT(void (*)(int, int, int, int, int, int, float, const float *, int, const float *, int,
                  float, float *, int), "cblas_sgemm")
    (order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

int clock_gettime(clockid_t clock, struct timespec *out) {
    static struct timespec start;
    int result = NEXT(int (*)(clockid_t, struct timespec *), "clock_gettime")(clock, out);
    if (clock != CLOCK_MONOTONIC) return result;
    if (start.tv_sec == 0) start = *out;
    long passed = __atomic_load_n(&products, __ATOMIC_RELAXED);
    out->tv_sec = start.tv_sec + passed / 1000;
    out->tv_nsec = passed % 1000 * 1000000;
    return result;
}
"""


def clock():
    """The path of the library with that clock."""
    if shutil.which("cc") is None:
        raise Skip("no C compiler")
    source, library = os.path.join(WORK, "clock.c"), os.path.join(WORK, "clock.so")
    with open(source, "w", encoding="utf-8") as file:
        file.write(CLOCK)
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def exact_under_the_same_clock():
    """Cut and resumed twice, it is the uninterrupted run in every bit, to the same last step."""
    changes = {"training__stop": {"time": "20s"}, "checkpoint__interval": "10 steps",
               "optimizer": {"lr": LR}, "evaluation__interval": 0,
               "lr_scheduler": {"shape": "wsd", "warmup": "5%", "decay": "60%", "min_lr": 0}}
    preloaded = {"LD_PRELOAD": clock()}
    train(config("clock_whole", **changes), **preloaded)
    path = config("clock_cut", **changes)
    for at in 20, 60:
        job = start(["train", path], **preloaded)
        job.wait_for(r"(?m)^step %d " % at)
        job.process.kill()
        job.end()
    train(path, **preloaded)
    whole, cut = run_directory("clock_whole"), run_directory("clock_cut")
    wanted = states(checkpoints(whole))
    check(len(wanted) > 8, "only %d checkpoints" % len(wanted))
    equal(states(checkpoints(cut)), wanted, "states")
    equal(losses(cut), losses(whole), "losses")


def shares_equal_steps():
    """2% and 60% of 50 steps are the schedule of 1 and 30 steps, bit for bit."""
    rates = []
    for name, warmup, decay in (("in_shares", "2%", "60%"), ("in_steps", 1, 30),
                                ("in_tokens", "128 tokens", "3840 tokens")):
        train(config(name, training__stop={"steps": 50}, checkpoint__interval=0,
                     lr_scheduler={"shape": "wsd", "warmup": warmup, "decay": decay, "min_lr": 0}))
        rates.append([record["lr"] for record in steps_of(run_directory(name))])
    equal(rates[1], rates[0], "in steps")
    equal(rates[2], rates[0], "in tokens")


def half_life_sets_beta2():
    """0.5^(128 / 1000) of 128 tokens a step."""
    losses = []
    for name, optimizer in (("half_life", {"lr": LR, "beta2_half_life": 1000}),
                            ("beta2", {"lr": LR, "betas": [0.9, 0.5**(128 / 1000)]})):
        train(config(name, optimizer=optimizer, checkpoint__interval=0))
        losses.append([record["train/loss"] for record in steps_of(run_directory(name))])
    equal(losses[0], losses[1], "losses")


if __name__ == "__main__":
    main(an_early_end_is_a_part_of_the_whole_run, ends_with_its_budget, goes_on_after_a_resume,
         exact_under_the_same_clock, shares_equal_steps, half_life_sets_beta2)
