"""Faults of one rank during training: all other ranks end soon, with one line that names it."""

import os
import re
import signal
import time

from e2e import check, equal, start


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def fault(path, ranks, victim, inflict, wanted, deadline, stays=False):
    """Starts a long run of a config, hurts one rank by inflict(pid) after step 40, and measures the
    time until all ranks have ended; a victim that remains can be ended only by this process.
    Returns the output of the run and the seconds."""
    job = start([
        "train", path, "training.stop.steps=1000000", "checkpoint.interval=0", "logging.interval=20"
    ], ranks)
    pids = job.ranks(ranks)
    try:
        job.wait_for(r"(?m)^step 40/")
        since = time.monotonic()
        inflict(pids[victim])
        done = job.end(4 * deadline)
        others = [pid for pid in pids if pid != pids[victim] or not stays]
        while any(is_alive(pid) for pid in others):
            check(time.monotonic() - since < 4 * deadline, "ranks are left behind")
            time.sleep(0.02)
        seconds = time.monotonic() - since
    finally:
        for pid in pids:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
    check(done.code != 0, "%s: exit 0: %r" % (path, done))
    equal(len(done.errors()), 1, "%s: error lines: %r" % (path, done))
    check(re.search(wanted, done.errors()[0]), "%s: %r" % (path, done.errors()))
    check(seconds <= deadline, "%s: the last rank ended after %.1f s" % (path, seconds))
    return done, seconds
