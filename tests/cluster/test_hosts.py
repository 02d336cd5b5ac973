#!/usr/bin/env python3
"""Runs over several hosts (tests/cluster/hosts.py): the same losses as on one host; no alarm for a
stopped rank whose host answers; a host that is cut off is named, and all ranks end; a supervised
run goes on without it, from the memory of another host.

sanitizers: no
It only waits.
"""

import json
import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from campaign import cluster, ranks_left, same_losses
from e2e import (PROGRAMS, Job, Skip, check, checkpoints, config, equal, losses, main,
                 run_directory, states, train)
from hosts import ROOT, Unavailable
from model_files import farthest

NOTICED = 10.0


def with_hosts(count, test):
    try:
        with cluster(count) as hosts:
            test(hosts)
    except Unavailable as reason:
        raise Skip(reason)


def losses_are_those_of_one_host():
    with_hosts(2, lambda hosts: same_losses("over_hosts", hosts, 4, 2))


def save_on_hosts(hosts):
    """The second host has a saver, too: for its memory."""
    saves = {"training__stop": {"steps": 60}, "checkpoint__interval": "3 steps",
             "training__shard_optimizer": True, "checkpoint__memory_interval": "1 steps"}
    path, alone = config("saved", **saves), config("saved_alone", **saves)
    done = supervise(hosts, path, 2, hostfile(hosts, 2)).end()
    equal(done.code, 0, repr(done))
    train(alone, ranks=2)
    got, wanted = (states(checkpoints(run_directory(name))) for name in ("saved", "saved_alone"))
    equal(len(wanted), 20, "checkpoints")
    equal(got, wanted, "the states of all checkpoints")


def checkpoints_are_those_of_one_host():
    with_hosts(2, save_on_hosts)


def hostfile(hosts, ranks):
    path = hosts.dir + "/hostfile"
    with open(path, "w", encoding="utf-8") as file:
        file.writelines("%s slots=%d\n" % (host.name, ranks // 2) for host in hosts.all)
    return path


def supervise(hosts, path, ranks, hostfile):
    words = [os.path.join(ROOT, PROGRAMS, "supervise"), path, "--ranks=%d" % ranks,
             "--hostfile=" + hostfile]
    return Job(hosts.all[0].command(*words), hosts.environment())


def stop_a_rank(job, hosts):
    """The only rank of a host, for longer than a host may be silent; then the run goes on."""
    rank = next(pid for pid in ranks_left(hosts) if hosts.all[1].holds(pid))
    os.kill(rank, signal.SIGSTOP)
    time.sleep(9)
    steps = len(re.findall(r"(?m)^step ", job.read(job.out)))
    os.kill(rank, signal.SIGCONT)
    job.wait_for(r"(?m)(^step .*\n.*){%d}" % (steps + 3))
    equal(job.done(0).errors(), [], "an alarm")


def cut_a_host(job, hosts):
    hosts.all[1].cut()
    since = time.monotonic()
    while not job.done(0).errors():
        check(time.monotonic() - since < NOTICED, "the lost host is not noticed")
        time.sleep(0.02)
    check(re.search(r"host node2 \(rank 1 and 0 more\) has not answered for 7 s, while rank 0 is "
                    r"in step \d+, .*; all ranks end \(exit 1\)", job.done(0).errors()[0]),
          repr(job.done(0)))


def stop_and_cut(hosts):
    steps = {"training__stop": {"steps": 150}, "checkpoint__interval": "10 steps"}
    path, alone = config("supervised", **steps), config("undisturbed", **steps)
    job = supervise(hosts, path, 2, hostfile(hosts, 2))
    job.wait_for(r"(?m)^step 40/")
    stop_a_rank(job, hosts)
    cut_a_host(job, hosts)
    done = job.end()
    equal(done.code, 0, repr(done))
    check("starts again in 1 s from step " in done.err, repr(done))
    with open(run_directory("supervised") + "/incidents.jsonl", encoding="utf-8") as file:
        incidents = [json.loads(line) for line in file]
    equal([(i["ranks"], i["hosts"]) for i in incidents], [(2, ["node1", "node2"])], "incidents")
    train(alone, ranks=2)
    got, wanted = losses(run_directory("supervised")), losses(run_directory("undisturbed"))
    equal(sorted(got), sorted(wanted), "steps")
    # The same samples, but one rank adds its micro-batches in another order than two.
    worst = farthest([got[step] for step in wanted], [wanted[step] for step in wanted])
    check(worst < 1e-3, "losses differ by %g" % worst)


def a_stopped_rank_is_no_lost_host_and_a_lost_host_is_left_out():
    with_hosts(2, stop_and_cut)


def lose_the_host_of_rank_0(hosts):
    """Nothing is on disk. mpirun runs on node1, and no rank does."""
    memory = {"training__stop": {"steps": 500}, "checkpoint__interval": 0,
              "training__shard_optimizer": True, "checkpoint__memory_interval": "1 steps"}
    path, alone = config("gathered", **memory), config("whole", **memory)
    lost_first = hosts.dir + "/lost_first"
    with open(lost_first, "w", encoding="utf-8") as file:
        file.write("node2 slots=1\nnode3 slots=2\n")
    job = supervise(hosts, path, 2, lost_first)
    job.wait_for(r"(?m)^step 40/")
    hosts.all[1].cut()
    done = job.end()
    equal(done.code, 0, repr(done))
    check("from the newest state in the memory of the hosts, or else the beginning\n" in done.err,
          repr(done))
    check("the newest state was in the memory of node3\n" in done.out, repr(done))
    train(alone, ranks=2)
    got, wanted = run_directory("gathered"), run_directory("whole")
    equal(losses(got), losses(wanted), "losses")
    equal(states(checkpoints(got)[-1:]), states(checkpoints(wanted)[-1:]), "the last state")


def the_state_of_a_lost_host_is_in_the_memory_of_another():
    with_hosts(3, lose_the_host_of_rank_0)


if __name__ == "__main__":
    main(losses_are_those_of_one_host, checkpoints_are_those_of_one_host,
         a_stopped_rank_is_no_lost_host_and_a_lost_host_is_left_out,
         the_state_of_a_lost_host_is_in_the_memory_of_another)
