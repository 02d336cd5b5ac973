#!/usr/bin/env python3
"""Runs over several hosts (tests/cluster/hosts.py): the same losses as on one host; no alarm for a
stopped rank whose host answers; a host that is cut off is named, and all ranks end.

sanitizers: no
runs alone, because it measures the time until a loss is noticed
"""

import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from campaign import cluster, endless, ranks_left, same_losses, start
from e2e import Skip, check, equal, main
from hosts import Unavailable

NOTICED = 10.0


def two_hosts(test):
    try:
        with cluster(2) as hosts:
            test(hosts)
    except Unavailable as reason:
        raise Skip(reason)


def losses_are_those_of_one_host():
    two_hosts(lambda hosts: same_losses("over_hosts", hosts, 4, 2))


def stop_and_cut(hosts):
    job = start(hosts, endless("lost_host"), ranks=2)
    job.wait_for(r"(?m)^step 40/")
    rank = next(pid for pid in ranks_left(hosts) if hosts.all[1].holds(pid))
    os.kill(rank, signal.SIGSTOP)
    time.sleep(9)  # longer than a host may be silent
    steps = len(re.findall(r"(?m)^step ", job.read(job.out)))
    os.kill(rank, signal.SIGCONT)
    job.wait_for(r"(?m)(^step .*\n.*){%d}" % (steps + 3))
    hosts.all[1].cut()
    since = time.monotonic()
    while not job.done(0).errors():
        check(time.monotonic() - since < NOTICED + 5, "the lost host is not noticed")
        time.sleep(0.02)
    noticed = time.monotonic() - since
    while ranks_left(hosts):
        check(time.monotonic() - since < 3 * NOTICED, "ranks are left")
        time.sleep(0.05)
    job.send(signal.SIGKILL)  # mpirun waits for its lost daemon
    done = job.end()
    check(noticed <= NOTICED, "noticed after %.1f s" % noticed)
    equal(len(done.errors()), 1, repr(done))
    check(re.search(r"host node2 \(rank 1 and 0 more\) has not answered for 7 s, while rank 0 is "
                    r"in step \d+, .*; all ranks end \(exit 1\)", done.errors()[0]), repr(done))


def a_lost_host_is_named_and_a_stopped_rank_is_not():
    two_hosts(stop_and_cut)


if __name__ == "__main__":
    main(losses_are_those_of_one_host, a_lost_host_is_named_and_a_stopped_rank_is_not)
