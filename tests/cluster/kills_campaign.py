#!/usr/bin/env python3
"""A supervised run whose ranks are killed at random, beside one that is not: the work that is
repeated, and the final state.

usage: [BUILD=build-cpu] tests/cluster/kills_campaign.py STEPS KILLS [SEED] [KEY=VALUE...]
"""

import os
import random
import re
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "launch"))

from e2e import checkpoints, children, config, equal, ranks_below, run_directory, start, states

RANKS = 4


def ranks_of(job):
    """The ranks below the mpirun below the supervisor."""
    return [pid for launcher in children(job.process.pid) for pid, _ in ranks_below(launcher)]


def steps_done(job):
    return [int(step) for step in re.findall(r"(?m)^step (\d+)/", job.read(job.out))]


def supervised(name, steps, kills, rng, overrides):
    """Kills random ranks at random steps. Returns all steps that ran, and the seconds."""
    path = config(name, training__stop={"steps": steps}, checkpoint__interval="1s",
                  checkpoint__keep=2)
    job = start(["supervise", path, "--ranks=%d" % RANKS, *overrides])
    for at in sorted(rng.sample(range(steps // 20, steps), kills)):
        while max(steps_done(job)[-1:], default=0) < at and job.process.poll() is None:
            time.sleep(1)
        if job.process.poll() is None:
            os.kill(rng.choice(ranks_of(job)), signal.SIGKILL)
            print("  killed a rank after step %d" % at, flush=True)
    done = job.end(7200)
    equal(done.code, 0, repr(done))
    said = [line for line in done.err.splitlines() if "supervise: " in line]
    print("".join("  %s\n" % line for line in said), end="")
    return len(steps_done(job)), done.seconds


def main(arguments):
    overrides = [argument for argument in arguments if "=" in argument]
    steps, kills, seed = [int(a) for a in [*arguments, "1"] if "=" not in a][:3]
    rng = random.Random(seed)
    ran, seconds = supervised("killed", steps, kills, rng, overrides)
    print("%d kills: %d steps ran for %d, %.2f%% repeated; %.0f s" %
          (kills, ran, steps, 100 * (ran / steps - 1), seconds), flush=True)
    _, seconds = supervised("undisturbed", steps, 0, rng, overrides)
    print("undisturbed: %.0f s" % seconds)
    last = [states([checkpoints(run_directory(name))[-1]]) for name in ("killed", "undisturbed")]
    equal(last[0], last[1], "the final state")
    print("the final states are equal: " + last[0][steps])


if __name__ == "__main__":
    main(sys.argv[1:])
