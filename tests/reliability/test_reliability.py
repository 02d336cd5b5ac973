#!/usr/bin/env python3
"""What interrupts a run must not cost what it has saved: kills at random moments, system calls that
fail, and memory and descriptors over many steps.

usage: tests/reliability/test_reliability.py [COUNT [TEST...]]     COUNT cases of each kind (3)
environment: SEED of the random moments and cases (1)
sanitizers: no"""

import errno
import functools
import itertools
import os
import random
import re
import shutil
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "launch"))

from e2e import (LIMIT, WORK, check, checkpoints, children, config, content, corpus, equal, losses,
                 main, no_duplicates, ranks_below, run, run_directory, start, states, text, train)
from injected import injected

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 3
rng = random.Random(int(os.environ.get("SEED", "1")))


# ---- kill -9 at random moments -------------------------------------------------------------------

STEPS = 60


@functools.lru_cache(None)
def whole(ranks):
    """The seconds, the losses and the state after each step of a run that nothing interrupts."""
    name = "whole_%d" % ranks
    done = train(config(name, training__stop={"steps": STEPS}), ranks=ranks)
    return done.seconds, losses(run_directory(name)), states(checkpoints(run_directory(name)))


def newest(directory, wanted, least):
    """The step of the newest checkpoint, which is at least `least`; all that exist are whole."""
    paths = checkpoints(directory)
    got = states(paths) if paths else {}
    for step, state in got.items():
        equal(state, wanted[step], "%s: the state after step %d" % (directory, step))
    last = max(got, default=0)
    check(last >= least, "%s: step %d is lost, %d is the newest" % (directory, least, last))
    return last


def phase(pid):
    """Once a rank has connected to mpirun, it maps Open MPI's segments."""
    try:
        with open("/proc/%d/maps" % pid, encoding="utf-8") as file:
            return "connected" if "_segment." in file.read() else "starting"
    except OSError:
        return "gone"


def launcher_await(job, killed, others):
    """Waits for mpirun, whose ranks were in these phases at the kill. Returns whether it hung: Open
    MPI 4.1 waits for ever for a rank that was killed while it connected. Any other hang
    fails, after a time that a busy machine does not need."""
    patience = 10 if killed == "starting" else 60
    since = time.monotonic()
    while job.process.poll() is None and time.monotonic() - job.start < LIMIT:
        if ranks_below(job.process.pid):
            since = time.monotonic()
        elif time.monotonic() - since > patience:
            job.send(signal.SIGKILL)
            check(killed in ("starting", "gone"), "mpirun does not end without ranks; the killed "
                  "one was %s, the others were %s: %s" % (killed, others, job.read(job.err)))
            return True
        time.sleep(0.01)
    return False


def kill_once(path, ranks, seconds):
    """Kills a rank, or mpirun if it has none, after a random part of `seconds`. Returns the run if
    it was done before, and whether mpirun hung."""
    job = start(["train", path], ranks)
    time.sleep(rng.uniform(0, seconds))
    below = children(job.process.pid) if ranks else []
    victim, hung = rng.choice(below) if below else job.process.pid, False
    phases = {pid: phase(pid) for pid in below}
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        pass
    if ranks:
        killed = phases.pop(victim, "gone")
        hung = launcher_await(job, killed, sorted(phases.values()))
    done = job.end()
    return done if "\ndone: " in done.out else None, hung


def killed(ranks, kills, **changes):
    seconds, wanted_losses, wanted = whole(ranks)
    done, hangs = None, 0
    for i in range(kills):
        if i == 0 or done:
            name = "killed_%d_%d_%d" % (ranks, len(changes), i)
            path, directory = config(name, training__stop={"steps": STEPS}, checkpoint__keep=2,
                                     **changes), run_directory(name)
            at = 0
        done, hung = kill_once(path, ranks, seconds)
        hangs += hung
        at = newest(directory, wanted, at)
        if done or i == kills - 1:
            train(path, ranks=ranks)
            equal(newest(directory, wanted, STEPS), STEPS, "the last step")
            equal(losses(directory), wanted_losses, "losses")
            no_duplicates(directory)
            shutil.rmtree(directory)
    if hangs:
        print("    mpirun hung after %d of %d kills of a rank that connected" % (hangs, kills))
    check(hangs <= 1 + kills // 20, "%d of %d: more than Open MPI's share" % (hangs, kills))


def one_rank_killed_at_random_moments():
    killed(0, COUNT)


def two_ranks_killed_at_random_moments():
    killed(2, COUNT // 2 + 1)


def two_ranks_killed_while_they_save_shards():
    killed(2, COUNT // 2 + 1, checkpoint__sharded=True, training__shard_optimizer=True)


# ---- system calls that fail ----------------------------------------------------------------------

CALLS = ("open", "read", "write", "fsync", "rename", "close", "flock", "truncate", "mkdir", "list")
ERRORS = (errno.EIO, errno.ENOSPC, errno.EMFILE)
FAILURES = (0, 1, 65, 71, 78)


def faults(part):
    """COUNT random faults, CALL:PART:WHEN:ERRNO. A number of calls that is not reached is none."""
    cases = list(itertools.product(CALLS, range(1, 25), ("", "+"), ERRORS))
    rng.shuffle(cases)
    return ["%s:%s:%d%s:%d" % (call, part, when, once, error)
            for call, when, once, error in cases[:COUNT]]


def ends_properly(done, fault):
    """With a documented exit code, and a failure with exactly one line."""
    check(done.code in FAILURES, "%s: %r" % (fault, done))
    if done.code != 0:
        check(len(done.errors()) == 1, "%s: error lines: %r" % (fault, done))


def a_training_run_with_failing_calls():
    name, steps = "faulty", {"training__stop": {"steps": 4}, "checkpoint__keep": 2}
    _, _, wanted = whole(0)
    path, directory = config(name, **steps), run_directory(name)
    begun = directory + "_begun"
    train(path, "training.stop.steps=2")
    os.rename(directory, begun)
    for fault in faults(directory):
        shutil.copytree(begun, directory)
        ends_properly(run("train", path, **injected(fault)), fault)
        newest(directory, wanted, 2)
        train(path)
        equal(newest(directory, wanted, 4), 4, fault)
        no_duplicates(directory)
        shutil.rmtree(directory)


def prepare_with_failing_calls():
    source, out = os.path.join(WORK, "source.txt"), os.path.join(WORK, "prepared")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text(20000))
    equal(run("prepare", source, "--out=" + out).code, 0, "prepare")
    wanted = {name: content(os.path.join(out, name)) for name in sorted(os.listdir(out))}
    for fault in faults(out):
        done = run("prepare", source, "--out=" + out, **injected(fault))
        ends_properly(done, fault)
        equal(sorted(os.listdir(out)), sorted(wanted), "%s: files: %r" % (fault, done))
        for name, data in wanted.items():
            check(content(os.path.join(out, name)) == data,
                  "%s: %s has changed: %r" % (fault, name, done))


def a_sweep_with_failing_calls():
    base = config("swept", training__stop={"steps": 2}, checkpoint__interval="2 steps")
    directory = run_directory("study")
    path = os.path.join(WORK, "study.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("extends: %s\nname: study\noutput: %s\nsweep: {seed: [1, 2]}\n" %
                   (base, directory))
    for fault in faults(directory):
        done = run("sweep", path, "--local", **injected(fault))
        check(done.code in FAILURES, "%s: %r" % (fault, done))
        check(done.code == 0 or done.errors(), "%s: nothing is said: %r" % (fault, done))
        # Its message asks for more retries if the fault has used up those of the study.
        again = run("sweep", path, "--local", "launch.retries=20")
        equal(again.code, 0, "%s, then without: %r\nfirst: %r" % (fault, again, done))
        shutil.rmtree(directory)


# ---- memory and descriptors ----------------------------------------------------------------------

def use_of(pid):
    """Anonymous KiB and open descriptors."""
    with open("/proc/%d/status" % pid, encoding="utf-8") as file:
        resident = int(re.search(r"RssAnon:\s+(\d+)", file.read()).group(1))
    return resident, len(os.listdir("/proc/%d/fd" % pid))


def memory_and_descriptors_stay():
    """Every step logs, evaluates and saves, up to 1,000 of them; then every second, third, ...

    The run is stopped long before its end, at which it closes its files."""
    steps = 40 * COUNT
    every = -(-steps // 1000)
    limit = 60 + steps / 10
    path = config("flat", training__stop={"steps": 100 * steps}, checkpoint__keep=2,
                  checkpoint__interval="%d steps" % every, evaluation__interval=every,
                  logging__interval=every)
    job = start(["train", path])
    uses = []
    for at in (steps // 3, steps):
        job.wait_for(r"(?m)^step %d/" % (at // every * every), limit)
        uses.append(use_of(job.process.pid))
    job.process.terminate()
    equal(job.end(limit).code, 75, "exit code after SIGTERM")
    (before, files_before), (after, files_after) = uses
    print("    %d steps: RssAnon %d, then %d KiB; descriptors %d, then %d" %
          (steps, before, after, files_before, files_after))
    check(after - before < 1024, "%d KiB more" % (after - before))
    check(abs(files_after - files_before) <= 3, "%d, then %d descriptors" %
          (files_before, files_after))  # a save or a log may be open


TESTS = {test.__name__: test for test in (
    one_rank_killed_at_random_moments, two_ranks_killed_at_random_moments,
    two_ranks_killed_while_they_save_shards, a_training_run_with_failing_calls,
    prepare_with_failing_calls, a_sweep_with_failing_calls, memory_and_descriptors_stay)}

if __name__ == "__main__":
    corpus()
    main(*(TESTS[name] for name in sys.argv[2:] or TESTS))
