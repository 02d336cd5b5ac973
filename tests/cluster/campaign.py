#!/usr/bin/env python3
"""What is said, after how long and with which exit code, when something is wrong with one of
several hosts: tests/cluster/hosts.py makes them, and mpirun starts ./train over ssh.

usage: [BUILD=build-cpu] tests/cluster/campaign.py [CASE...]     without CASE all; a line for each
"""

import os
import re
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "launch"))

from e2e import PROGRAMS, WORK, Job, check, children, config, corpus, losses, run_directory, train
from hosts import ROOT, Hosts, Unavailable

LIMIT, PATIENCE = 200, 15  # seconds


def cluster(n=2, **options):
    corpus()
    return Hosts(n, folders=(WORK,), **options)


def start(hosts, path, *arguments, ranks=2, per_host=1, mpirun=(), **environment):
    words = [
        "mpirun", "-np", str(ranks), "--hostfile", hosts.dir + "/hostfile", "--map-by",
        "ppr:%d:node" % per_host, *mpirun, os.path.join(ROOT, PROGRAMS, "train"), path, *arguments
    ]
    return Job(hosts.all[0].command(*words), hosts.environment(**environment))


def ranks_left(hosts):
    """The processes called train on these hosts."""
    left = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid, encoding="utf-8") as file:
                name, state = re.match(r"\d+ \((.*)\) (\S)", file.read()).groups()
            if name == "train" and state != "Z" and any(h.holds(pid) for h in hosts.all):
                left.append(int(pid))
        except OSError:
            pass
    return left


def launcher_signal(job, number):
    """Signals mpirun, the child of nsenter."""
    os.kill(children(job.process.pid)[0], number)


class Outcome:
    """What was said since the fault, when all ranks had ended and when the launcher had. A launcher
    that stays PATIENCE seconds longer than the ranks gets SIGTERM."""

    def __init__(self, hosts, job):
        since, self.spoke, self.asked = time.monotonic(), None, None
        self.ended = None if ranks_left(hosts) else 0.0
        while self.ended is None or job.process.poll() is None:
            now = time.monotonic() - since
            if self.spoke is None and job.done(0).errors():
                self.spoke = now
            if self.ended is None and not ranks_left(hosts):
                self.ended = now
            if self.ended and self.asked is None and now > self.ended + PATIENCE:
                self.asked = now
                launcher_signal(job, signal.SIGTERM)
            if now > LIMIT:
                job.send(9)
                break
            time.sleep(0.05)
        self.seconds = time.monotonic() - since
        self.done = job.end()
        self.code = self.done.code

    def __str__(self):
        said = self.done.errors() or self.done.err.strip().splitlines() or ["nothing"]
        show = lambda value: "-" if value is None else "%.1f s" % value
        asked = "" if self.asked is None else " (SIGTERM at %.1f s)" % self.asked
        return "said after %s, ranks gone %s, launcher gone %.1f s%s, exit %s\n%s" % (
            show(self.spoke), show(self.ended), self.seconds, asked, self.code,
            "".join("      %s\n" % line for line in said))


def endless(name, **changes):
    return config(name, **{"training__stop": {"steps": 1000000}, "checkpoint__interval": 0,
                           "logging__interval": 20, **changes})


# ---- hosts that work -----------------------------------------------------------------------------

def same_losses(name, hosts, ranks, per_host, **environment):
    """The run over hosts, and its seconds; its losses are those of the ranks of one host."""
    path, alone = config(name), config(name + "_alone")
    since = time.monotonic()
    done = start(hosts, path, ranks=ranks, per_host=per_host, **environment).end()
    seconds = time.monotonic() - since
    check(done.code == 0, repr(done))
    train(alone, ranks=ranks)
    check(losses(run_directory(name)) == losses(run_directory(name + "_alone")), "losses differ")
    steps = re.findall(r"\| ([\d.]+) ms", done.out)
    return "done in %.1f s, %s ms a step, losses as on one host" % (seconds, steps[-1])


def two_by_two():
    with cluster(2) as hosts:
        return same_losses("two_by_two", hosts, 4, 2)


def four_by_one():
    with cluster(4) as hosts:
        return same_losses("four_by_one", hosts, 4, 1)


def slow_and_lossy():
    with cluster(2, delay=0.05, loss=0.01) as hosts:
        return same_losses("slow_and_lossy", hosts, 2, 1)


def hundred_megabit():
    with cluster(2) as hosts:
        for host in hosts.all:
            host.limit("100mbit")
        return same_losses("hundred_megabit", hosts, 2, 1)


def clocks_apart():
    with cluster(2, clocks=(0, 3600)) as hosts:
        ahead = hosts.all[0].run("ssh", "-F", hosts.dir + "/ssh_config", "node2", "date", "+%s")
        check(abs(int(ahead) - time.time() - 3600) < 60, "the clocks are not apart")
        return same_losses("clocks_apart", hosts, 2, 1)


def different_processors():
    with cluster(2, cpus=("0-1", "0")) as hosts:
        path = config("different_processors", threads="auto")
        done = start(hosts, path, ranks=2).end()
        check(done.code == 0, repr(done))
        return "done; " + "; ".join(re.findall(r".*thread.*", done.out))


# ---- what is wrong from the start ----------------------------------------------------------------

def wrong_name():
    with cluster(2) as hosts:
        with open(hosts.dir + "/hostfile", "a", encoding="utf-8") as file:
            file.write("node7 slots=2\n")
        return Outcome(hosts, start(hosts, endless("wrong_name"), ranks=3))


def wrong_interface():
    with cluster(2) as hosts:
        return Outcome(hosts, start(hosts, endless("wrong_interface"), ranks=2,
                                    OMPI_MCA_btl_tcp_if_include="eth7"))


def firewall():
    with cluster(2) as hosts:
        for host in hosts.all:
            host.firewall()
        return Outcome(hosts, start(hosts, endless("firewall"), ranks=2))


def firewall_after_ssh():
    """Ports of mpirun's daemons are open, those of the ranks are not."""
    with cluster(2) as hosts:
        hosts.all[0].firewall()
        hosts.all[0].run("nft", "add rule inet f i tcp dport 5000 accept")
        return Outcome(hosts, start(hosts, endless("firewall_after_ssh"), ranks=2,
                                    OMPI_MCA_oob_tcp_static_ipv4_ports="5000"))


def data_missing():
    with cluster(2) as hosts:
        hosts.all[0].run("cp", "-r", corpus(), hosts.dir + "/private/data")
        data = hosts.dir + "/private/data"
        path = endless("data_missing", data__train=data + "/train.h5", data__val=data + "/val.h5")
        return Outcome(hosts, start(hosts, path, ranks=2))


def host_is_off():
    with cluster(2) as hosts:
        hosts.all[1].cut()
        return Outcome(hosts, start(hosts, endless("host_is_off"), ranks=2))


# ---- faults in a phase ---------------------------------------------------------------------------

def faulty(name, inflict, when, n=2, ranks=2, per_host=1, slow="", **changes):
    with cluster(n) as hosts:
        for host in hosts.all if slow else ():
            host.limit(slow)
        job = start(hosts, endless(name, **changes), ranks=ranks, per_host=per_host)
        when(job, hosts)
        inflict(hosts.all[-1])
        return Outcome(hosts, job)


def printed(pattern, pause=0.0):
    def wait(job, _):
        job.wait_for(pattern)
        time.sleep(pause)
    return wait


def ranks_exist(job, hosts):
    while len(ranks_left(hosts)) < 2 and job.process.poll() is None:
        time.sleep(0.05)


def cut(host):
    host.cut()


def kill(host):
    host.kill()


LONG = {"n_layer": 4, "n_head": 4, "n_embd": 256, "block_size": 32, "vocab_size": "auto"}


def cut_at_start():
    return faulty("cut_at_start", cut, ranks_exist)


def cut_in_training():
    return faulty("cut_in_training", cut, printed(r"(?m)^step 40/"), ranks=4, per_host=2)


def cut_in_evaluation():
    return faulty("cut_in_evaluation", cut, printed(r"(?m)^step 20/", 0.5), model=LONG,
                  evaluation={"interval": 20, "tokens": "all"})


def cut_in_save():
    return faulty("cut_in_save", cut, printed(r"(?m)^step 2/", 0.5), model=LONG, slow="20mbit",
                  training__shard_optimizer=True, logging__interval=1,
                  checkpoint__interval="2 steps")


def cut_at_end():
    return faulty("cut_at_end", cut, printed(r"(?m)^step 20/", 0.5), model=LONG,
                  training__stop={"steps": 20}, evaluation={"interval": 20, "tokens": "all"})


def first_host_cut():
    """Ranks of both sides end, and so does the launcher, which is on the first host."""
    with cluster(3) as hosts:
        job = start(hosts, endless("first_host_cut"), ranks=3)
        job.wait_for(r"(?m)^step 40/")
        hosts.all[0].cut()
        return Outcome(hosts, job)


def stopped_for_nine_seconds():
    """The only rank of a host is stopped, then goes on: no alarm."""
    with cluster(2) as hosts:
        job = start(hosts, endless("stopped"), ranks=2)
        job.wait_for(r"(?m)^step 40/")
        rank = next(pid for pid in ranks_left(hosts) if hosts.all[1].holds(pid))
        os.kill(rank, signal.SIGSTOP)
        time.sleep(9)
        os.kill(rank, signal.SIGCONT)
        job.wait_for(r"(?m)^step 100/")
        launcher_signal(job, signal.SIGUSR1)
        done = job.end()
        return "exit %d: %s" % (done.code, done.out.splitlines()[-1])


def kill_in_training():
    return faulty("kill_in_training", kill, printed(r"(?m)^step 40/"), ranks=4, per_host=2)


def kill_at_start():
    return faulty("kill_at_start", kill, ranks_exist)


CASES = [
    two_by_two, four_by_one, slow_and_lossy, hundred_megabit, clocks_apart, different_processors,
    wrong_name, wrong_interface, firewall, firewall_after_ssh, data_missing, host_is_off,
    cut_at_start, cut_in_training, cut_in_evaluation, cut_in_save, cut_at_end, first_host_cut,
    stopped_for_nine_seconds, kill_in_training, kill_at_start
]


def main(names):
    for case in CASES:
        if names and case.__name__ not in names:
            continue
        try:
            print("%-22s %s" % (case.__name__, case()))
        except Unavailable as reason:
            print("skipped (%s)" % reason)
            return 77
        except AssertionError as failure:
            print("%-22s FAILED: %s" % (case.__name__, failure))
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
