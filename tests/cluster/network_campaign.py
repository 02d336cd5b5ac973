#!/usr/bin/env python3
"""The time of a step over slowed links, measured beside what `./train --plan --network` predicts.

usage: [BUILD=build-cpu] tests/cluster/network_campaign.py [RATE...]    such as 20 50 100 in Mb/s
"""

import json
import os
import re
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "launch"))

from campaign import cluster, start
from e2e import PROGRAMS, Job, check, config, run_directory
from hosts import ROOT

STEPS = 5
MODEL = {"n_layer": 4, "n_head": 4, "n_embd": 192, "block_size": 64, "vocab_size": "auto"}
HOSTS_AND_RANKS = [(2, 1), (3, 1), (4, 1), (5, 1), (2, 2), (3, 2), (2, 3)]
CASES = [(n, per_host, shards) for n, per_host in HOSTS_AND_RANKS for shards in (False, True)]


def predicted(hosts, path, ranks, rate):
    """Milliseconds of a step, and of them exposed."""
    words = [os.path.join(ROOT, PROGRAMS, "train"), path, "--plan", "--ranks=%d" % ranks,
             "--hosts=%d" % len(hosts.all), "--network=%dMb/s" % rate]
    done = Job(hosts.all[0].command(*words), hosts.environment()).end()
    check(done.code == 0, repr(done))
    return [float(re.search(pattern, done.out).group(1))
            for pattern in (r"predicted ([\d.]+) ms", r", ([\d.]+) ms of it exposed")]


def measured(hosts, name, path, ranks, per_host):
    done = start(hosts, path, ranks=ranks, per_host=per_host).end(600)
    check(done.code == 0, repr(done))
    with open(run_directory(name) + "/metrics.jsonl", encoding="utf-8") as file:
        at = [json.loads(line)["train_s"] for line in file if "train/loss" in line]
    return 1e3 * statistics.median(b - a for a, b in zip(at[1:], at[2:]))


def case(rate, n, per_host, shards):
    name = "net_%d_%d_%d_%s" % (rate, n, per_host, shards)
    path = config(name, model=MODEL, training__stop={"steps": STEPS}, checkpoint__interval=0,
                  training__shard_optimizer=shards, training__gradient_accumulation_steps=1,
                  evaluation__interval=0)
    ranks = n * per_host
    with cluster(n, cpus=["%d" % (i % os.cpu_count()) for i in range(n)]) as hosts:
        for host in hosts.all:
            host.limit("%dmbit" % rate)
        said, exposed = predicted(hosts, path, ranks, rate)
        took = measured(hosts, name, path, ranks, per_host)
    print("| %d Mb/s | %d x %d | %s | %.0f | %.0f | %.0f | %+.1f%% |" %
          (rate, n, per_host, "sharded" if shards else "all-reduced", said, exposed, took,
           100 * (said / took - 1)), flush=True)


def main(arguments):
    print("| network | hosts x ranks | optimizer | ms predicted | exposed | measured | off |")
    print("|---|---|---|---|---|---|---|")
    for rate in map(int, arguments or ["20", "50", "100"]):
        for n, per_host, shards in CASES:
            case(rate, n, per_host, shards)


if __name__ == "__main__":
    main(sys.argv[1:])
