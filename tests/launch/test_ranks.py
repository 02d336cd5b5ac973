#!/usr/bin/env python3
"""The number of ranks does not change a run; if a rank stops or hangs, no other rank stays behind.
It runs alone, because it measures the time until a hang is detected. sanitizers: no"""

import concurrent.futures
import ctypes
import os
import signal

from e2e import (WORK, Skip, check, checkpoints, config, corpus, equal, losses, main, run,
                 run_directory, states, train)
from faults import fault

STEPS = 20
DEADLINE = 10.0  # seconds from the fault until no rank is left
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
    alone = run("bench", "allreduce", "device=cpu")
    check(alone.code == 64 and "mpirun -np 2 ./bench allreduce" in alone.err, alone)


# ---- faults --------------------------------------------------------------------------------------

PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207


def freeze_main_thread(pid):
    """Only the main thread stops; the rank's other threads continue, as when a file system
    hangs."""
    libc = ctypes.CDLL(None, use_errno=True)
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if libc.ptrace(ctypes.c_long(request), ctypes.c_long(pid), None, None) != 0:
            raise Skip("ptrace is not allowed here: " + os.strerror(ctypes.get_errno()))


def killed_stopped_and_hung_ranks():
    """They mostly wait, so they run side by side."""
    faults = [
        ("killed", 4, 2, lambda pid: os.kill(pid, signal.SIGKILL),
         r"rank 2 on \S+ .*step \d+, \w+"),
        ("stopped", 4, 1, lambda pid: os.kill(pid, signal.SIGSTOP),
         r"rank 1 on \S+ stopped .*step \d+, \w+"),
        ("first_stopped", 2, 0, lambda pid: os.kill(pid, signal.SIGSTOP),
         r"rank 0 on \S+ stopped .*step \d+, \w+"),
    ]
    corpus()
    with concurrent.futures.ThreadPoolExecutor(len(faults)) as pool:
        for future in [pool.submit(fault, config(name), *how, DEADLINE) for name, *how in faults]:
            future.result()


def a_rank_that_hangs():
    """Frozen where it happens to be: in its own work, or in a wait for the others. ptrace wants one
    thread to see it through."""
    fault(config("hung", model__n_embd=128, data__batch_size=8), 2, 1, freeze_main_thread,
          r"rank 1 on \S+ hangs: .*step \d+, \w+", DEADLINE, stays=True)


if __name__ == "__main__":
    main(sums_are_measured, ranks_agree_at_every_step, ranks_agree_with_dropout,
         data_parallel_runs_repeat_bit_by_bit, killed_stopped_and_hung_ranks, a_rank_that_hangs)
