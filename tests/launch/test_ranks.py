#!/usr/bin/env python3
"""The number of ranks does not change a run. sanitizers: no"""

import os
import re
import shlex
import shutil

from e2e import (ENVIRONMENT, PROGRAMS, WORK, Job, check, checkpoints, config, corpus, equal,
                 losses, main, run, run_directory, states, train)

STEPS = 20
GLOBAL_BATCH = 8


def run_with(ranks, batch, accumulation, dropout):
    name = "ranks_%d_%d_%d_%g" % (ranks, batch, accumulation, dropout)
    equal(ranks * batch * accumulation, GLOBAL_BATCH, "global batch")
    train(
        config(name, data__batch_size=batch, training__gradient_accumulation_steps=accumulation,
               model__dropout=dropout, training__stop__steps=STEPS, checkpoint__interval=0),
        ranks=ranks)
    return run_directory(name)


def agree(dropout):
    wanted = losses(run_with(1, 8, 1, dropout))
    equal(sorted(wanted), list(range(1, STEPS + 1)), "logged steps")
    check(wanted[STEPS] < wanted[1] - 0.3, "the loss does not fall: %r" % wanted)
    for ranks, batch, accumulation in ((1, 2, 4), (2, 2, 2), (2, 4, 1), (4, 2, 1), (4, 1, 2)):
        got = losses(run_with(ranks, batch, accumulation, dropout))
        for step, loss in wanted.items():
            check(
                abs(got[step] - loss) <= 1e-5 * loss,
                "%d ranks x %d x %d, step %d: loss %r, with one rank %r" %
                (ranks, batch, accumulation, step, got[step], loss))


def ranks_agree_at_every_step():
    agree(0.0)


def ranks_agree_with_dropout():
    agree(0.1)


def data_parallel_runs_repeat_bit_by_bit():
    """Reductions run while backward does; when they finish must not show."""
    for ranks in (2, 4):
        seen = set()
        for attempt in range(3):
            name = "again_%d_%d" % (ranks, attempt)
            train(config(name, training__stop__steps=10, checkpoint__interval=0), ranks=ranks)
            seen.add(states(checkpoints(run_directory(name)))[10])
        equal(len(seen), 1, "different states of %d ranks in three runs" % ranks)


def sums_are_measured():
    table = os.path.join(WORK, "allreduce.csv")
    done = run("bench", "allreduce", "device=cpu", "--repeats=1", "--csv=" + table, ranks=2)
    equal(done.code, 0, "exit code: %r" % done)
    with open(table, encoding="utf-8") as file:
        rows = [line.strip().split(",") for line in file][1:]
    equal([int(row[1]) for row in rows], [1024 << k for k in range(15)], "sizes")
    check(all(row[0] == "2" and float(row[2]) > 0 and row[3] == row[4] for row in rows),
          "two ranks' rows: %r" % rows)
    again = run("bench", "attention", "--device=cpu", "--B=1", "--NH=1", "--T=8", "--HS=8",
                "--csv=" + table)
    equal(again.code, 0, "a table of ./bench is replaced: %r" % again)
    alone = run("bench", "allreduce", "device=cpu")
    check(alone.code == 64 and "mpirun -np 2 ./bench allreduce" in alone.err, alone)


def ranks_have_one_config():
    """Paths of the data and threads may differ."""
    path = config("one_config", training__stop__steps=2, checkpoint__interval=0)
    program = [os.path.join(PROGRAMS, "train"), path]

    def done(here, there, code):
        each = 'if [ "$OMPI_COMM_WORLD_RANK" = 0 ]; then exec %s; else exec %s; fi' % (
            shlex.join([*program, *here]), shlex.join([*program, *there]))
        job = Job(["mpirun", "-np", "2", "sh", "-c", each], ENVIRONMENT).end()
        equal(job.code, code, "%s and %s: %r" % (here, there, job))
        return job

    for here, there in (("optimizer.lr=1e-3", "optimizer.lr=2e-3"), ("seed=1", "seed=2"),
                        ("data.batch_size=1", "data.batch_size=2")):
        key = here.split("=")[0].split(".")[-1]
        wanted = (r"train: error: rank 1: the config here, on \S+, has `%s: \S+`, that of rank 0 "
                  r"on \S+ `%s: \S+`; start all ranks with the same config" % (key, key))
        check(re.match(wanted, done([here], [there], 78).errors()[0]), "no line: " + wanted)
    check(not os.path.exists(run_directory("one_config")), "a directory was made")
    copy = os.path.join(WORK, "copy.h5")
    shutil.copy(corpus() + "/train.h5", copy)
    done(["threads=1"], ["threads=2", "data.train=" + copy], 0)


if __name__ == "__main__":
    main(sums_are_measured, ranks_have_one_config, ranks_agree_at_every_step,
         ranks_agree_with_dropout, data_parallel_runs_repeat_bit_by_bit)
