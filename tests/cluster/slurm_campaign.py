#!/usr/bin/env python3
"""A Slurm of two nodes on the hosts of tests/cluster/hosts.py: jobs over both, a study, a node that
is drained, one that is killed, the time limit, a supervised job.

usage: [BUILD=build-cpu] tests/cluster/slurm_campaign.py [CASE...]     without CASE all
"""

import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "launch"))

from campaign import cluster
from e2e import PROGRAMS, check, config, losses, run_directory, summary, train
from hosts import ROOT, Unavailable

# A requeued job starts again after cred_expire, 5 s here.
CONFIGURATION = """ClusterName=hourglass_hosts
SlurmctldHost=node1
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={dir}/munge.socket,cred_expire=5
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool_%n
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd_%n.pid
SlurmctldLogFile={dir}/slurmctld.log
SlurmdLogFile={dir}/slurmd_%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MailProg=/bin/true
MpiDefault=none
SwitchType=switch/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
JobRequeue=1
ReturnToService=2
KillWait=3
SlurmdTimeout=10
MessageTimeout=10
NodeName=node[1-2] CPUs=4 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    def __init__(self, hosts):
        self.hosts, self.dir = hosts, hosts.dir + "/slurm"
        os.makedirs(self.dir + "/state")
        os.environ["SLURM_CONF"] = self.dir + "/slurm.conf"
        with open(self.dir + "/slurm.conf", "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(dir=self.dir))
        with open(self.dir + "/munge.key", "wb") as file:
            file.write(os.urandom(1024))
        os.chmod(self.dir + "/munge.key", 0o400)
        first = hosts.all[0]
        first.run("munged", "--key-file=%s/munge.key" % self.dir, "--force",
                  "--socket=%s/munge.socket" % self.dir, "--pid-file=%s/munged.pid" % self.dir,
                  "--log-file=%s/munged.log" % self.dir, "--seed-file=%s/munged.seed" % self.dir)
        first.run("sh", "-c", "setsid slurmctld -c >/dev/null 2>&1 </dev/null")
        for host in hosts.all:
            host.run("sh", "-c", "setsid slurmd -N %s >/dev/null 2>&1 </dev/null" % host.name)
        self.wait("nodes", lambda: self.do("sinfo", "-h", "-o", "%T %D").strip() == "idle 2", 60)

    def do(self, *words):
        done = subprocess.run(self.hosts.all[0].command(*words), env=self.environment(),
                              capture_output=True, text=True, timeout=60)
        return done.stdout if done.returncode == 0 else "failed: " + done.stderr

    def environment(self):
        environment = self.hosts.environment(SLURM_CONF=self.dir + "/slurm.conf")
        for name in ("OMPI_MCA_plm_rsh_agent", "PRTE_MCA_plm_ssh_agent"):
            del environment[name]
        return environment

    def wait(self, what, holds, limit=120):
        begin = time.monotonic()
        while not holds():
            check(time.monotonic() - begin < limit, "not in %d s: %s\n%s\n%s" % (
                limit, what, self.do("sinfo", "-N", "-l"), self.do("squeue", "-a")))
            time.sleep(0.2)

    def submit(self, name, body, *options):
        """Submits a script of two nodes; returns the job's number and its log."""
        script, log = "%s/%s.sh" % (self.dir, name), "%s/%s.log" % (self.dir, name)
        with open(script, "w", encoding="utf-8") as file:
            file.write("#!/bin/bash\ncd %s\n%s\n" % (ROOT, body))
        out = self.do("sbatch", "--parsable", "--output=" + log, "--open-mode=append", "--requeue",
                      *options, script)
        check(out.strip().isdigit(), out)
        return out.strip(), log

    def ended(self, job):
        self.wait("job %s ends" % job, lambda: not self.do("squeue", "-h", "-j", job).strip())
        return re.search(r"JobState=(\S+).*?ExitCode=(\S+)",
                         self.do("scontrol", "show", "job", job), re.S).groups()


TWO_NODES = ["--nodes=2", "--ntasks-per-node=2"]
TRAIN = os.path.join(ROOT, PROGRAMS, "train")


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def steps_written(name, n):
    path = run_directory(name) + "/metrics.jsonl"
    return os.path.exists(path) and read(path).count("train/loss") >= n


def ranks_over_both(slurm, name, launcher):
    path = config(name)
    job, log = slurm.submit(name, "%s %s %s" % (launcher, TRAIN, path), *TWO_NODES)
    state = slurm.ended(job)
    check(state[0] == "COMPLETED", "%s: %s" % (state, read(log)))
    train(config(name + "_alone"), ranks=4)
    check(losses(run_directory(name)) == losses(run_directory(name + "_alone")), "losses differ")
    return "%s %s, losses as on one host" % state


def srun_pmix(slurm):
    return ranks_over_both(slurm, "srun_pmix", "srun --mpi=pmix --cpu-bind=none")


def mpirun_in_a_job(slurm):
    return ranks_over_both(slurm, "mpirun_in_a_job", "mpirun --bind-to none -np 4")


def a_study_over_the_nodes(slurm):
    path = config("study", checkpoint__interval=0, sweep={"seed": [1, 2, 3, 4]},
                  training__stop={"time": "3s"},
                  launch__slurm={"ranks_per_node": 2, "time": "5m", "array_limit": 4})
    out = slurm.do(os.path.join(ROOT, PROGRAMS, "sweep"), path, "--slurm")
    check("submitted job array" in out, out)
    used = set()

    def over():
        used.update(re.findall(r"node\d", slurm.do("squeue", "-h", "-t", "R", "-o", "%N")))
        return not slurm.do("squeue", "-h").strip()

    slurm.wait("the study", over)
    done = [summary(run_directory("study") + "/seed-%d" % seed)["status"] for seed in range(1, 5)]
    check(done == ["done"] * 4, done)
    check(os.path.exists(run_directory("study") + "/report"), "no report")
    return "4 points done on %s, and the report" % ", ".join(sorted(used))


LONG = {"training__stop": {"time": "20s"}, "checkpoint__interval": "2s", "checkpoint__keep": 2,
        "logging__interval": 20}


def long_job(slurm, name, *options):
    body = "mpirun --bind-to none -np $SLURM_NTASKS %s %s" % (TRAIN, config(name, **LONG))
    job, log = slurm.submit(name, body, *options)
    slurm.wait("the run begins", lambda: steps_written(name, 10))
    return job, log


def a_drained_node(slurm):
    job, _ = long_job(slurm, "drained", *TWO_NODES)
    slurm.do("scontrol", "update", "nodename=node2", "state=drain", "reason=test")
    state = slurm.ended(job)
    left = slurm.do("sinfo", "-h", "-N", "-o", "%N %T").split("\n")[:2]
    slurm.do("scontrol", "update", "nodename=node2", "state=resume")
    return "%s %s; then %s" % (*state, ", ".join(left))


def time_limit(slurm):
    """The warning of docs/cluster.md's script, which requeues."""
    body = ("again=0\ntrap 'again=1; kill -USR1 \"$pid\" 2>/dev/null' USR1\n"
            "mpirun --bind-to none -np $SLURM_NTASKS %s %s &\npid=$!\n"
            "wait \"$pid\"; code=$?\n"
            "while [ $again = 1 ]; do again=0; wait \"$pid\"; code=$?; done\n"
            "echo ended with $code\n"
            "[ $code != 75 ] || scontrol requeue \"$SLURM_JOB_ID\"\nexit $code"
            % (TRAIN, config("time_limit", **LONG)))
    job, log = slurm.submit("time_limit", body, *TWO_NODES)
    slurm.wait("the run begins", lambda: steps_written("time_limit", 10))
    slurm.do("scancel", "--batch", "--signal=USR1", job)
    state = slurm.ended(job)
    return "%s %s; the script: %s" % (*state, ", ".join(re.findall("ended with .*", read(log))))


def supervised(slurm, name, *options):
    """A job of a supervised run that has begun: its number, its log."""
    body = "exec %s %s --ranks=$SLURM_NTASKS" % (os.path.join(ROOT, PROGRAMS, "supervise"),
                                                 config(name, **LONG))
    job, log = slurm.submit(name, body, *options)
    slurm.wait("the run begins", lambda: steps_written(name, 10))
    return job, log


def lines_of(log, *texts):
    return "".join("      %s\n" % line for line in read(log).splitlines()
                   if any(text in line for text in texts))


def time_limit_of_a_supervised_job(slurm):
    job, log = supervised(slurm, "supervised_limit", *TWO_NODES)
    slurm.do("scancel", "--batch", "--signal=USR1", job)
    return "%s %s\n%s" % (*slurm.ended(job), lines_of(log, "supervise: ", "resumed"))


def a_killed_rank_in_a_supervised_job(slurm):
    job, log = supervised(slurm, "supervised_job", *TWO_NODES)
    slurm.hosts.all[1].run("sh", "-c", "kill -9 $(pgrep -x train | head -1)")
    return "%s %s\n%s" % (*slurm.ended(job), lines_of(log, "supervise: ", "resumed"))


def a_killed_node(slurm):
    """Last: the node is gone. The job asks for one or two nodes, so that the other is enough."""
    job, log = supervised(slurm, "killed_node", "--nodes=1-2", "--ntasks=4")
    nodes = slurm.do("squeue", "-h", "-j", job, "-o", "%N").strip()
    begin = time.monotonic()
    slurm.hosts.all[1].kill()
    slurm.wait("the job is requeued", lambda: "supervise: attempt" in read(log))
    requeued = time.monotonic() - begin
    slurm.wait("it runs again", lambda: "R" in slurm.do("squeue", "-h", "-j", job, "-o", "%t"))
    again = "%s after %.0f s" % (slurm.do("squeue", "-h", "-j", job, "-o", "%N").strip(),
                                 time.monotonic() - begin)
    return "on %s; requeued after %.0f s; again on %s; %s %s\n%s" % (
        nodes, requeued, again, *slurm.ended(job), lines_of(log, "supervise: ", "resumed", "done"))


CASES = [
    srun_pmix, mpirun_in_a_job, a_study_over_the_nodes, a_drained_node, time_limit,
    time_limit_of_a_supervised_job, a_killed_rank_in_a_supervised_job, a_killed_node
]


def main(names):
    try:
        with cluster(2) as hosts:
            slurm = Slurm(hosts)
            for case in CASES:
                if names and case.__name__ not in names:
                    continue
                begin = time.monotonic()
                try:
                    print("%-34s %s (%.0f s)" % (case.__name__, case(slurm),
                                                 time.monotonic() - begin))
                except AssertionError as failure:
                    print("%-34s FAILED: %s" % (case.__name__, failure))
                sys.stdout.flush()
    except Unavailable as reason:
        print("skipped (%s)" % reason)
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
