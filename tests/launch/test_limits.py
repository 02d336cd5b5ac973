#!/usr/bin/env python3
"""Real limits on memory and CPU time: the memory search respects them, and a batch that it finds
runs to its end."""

import os
import re
import subprocess

from e2e import ENVIRONMENT, PROGRAMS, SANITIZED, Skip, check, config, main, run_directory, summary

GROUPS = "/sys/fs/cgroup"


def limited(command, *arguments, ranks=0):
    """Runs a program from a shell that first sets its limits."""
    program = [os.path.join(PROGRAMS, "train"), *arguments]
    if ranks:
        program = ["mpirun", "-np", str(ranks), *program]
    return subprocess.run(["sh", "-c", command + ' && exec "$@"', "sh", *program], env=ENVIRONMENT,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)


def may_be_taken(done):
    return float(re.search(r"(?m)^may be taken +([\d.]+)", done.stdout).group(1))


def what_fits_runs(name, command, most, ranks=0):
    path = config(name, data__batch_size="auto", training__stop__steps=1,
                  training__gradient_accumulation_steps=1, evaluation__tokens=64)
    done = limited(command, path, "--plan")
    check(done.returncode == 0 and 0 < may_be_taken(done) < most, repr(done))
    done = limited(command, path, ranks=ranks)
    check(done.returncode == 0, repr(done))
    end = summary(run_directory(name))
    check(end["status"] == "done" and 1 < end["batch_size"] < 4096, repr(end))
    done = limited(command, path, "data.batch_size=%d" % (3 * end["batch_size"]),
                   "output=%s_over" % run_directory(name), ranks=ranks)
    check(
        done.returncode == 71 and
        "are within memory_budget and free; the largest batch" in done.stderr, repr(done))


class Group:
    """A new control group below this process's, or wherever the machine allows one."""

    def __init__(self, controller, **limits):
        unified = os.path.exists(GROUPS + "/cgroup.controllers")
        folder = GROUPS if unified else os.path.join(GROUPS, controller)
        self.path = os.path.join(folder, "hourglass_test_%d" % os.getpid())
        try:
            os.mkdir(self.path)
            for name, value in limits["v2" if unified else "v1"].items():
                with open(os.path.join(self.path, name), "w", encoding="utf-8") as file:
                    file.write(value)
        except OSError as error:
            self.__exit__()
            raise Skip("no control group can be made here: %s" % error) from error

    def __enter__(self):
        return "echo $$ >%s/cgroup.procs" % self.path

    def __exit__(self, *_):
        if os.path.isdir(self.path):
            os.rmdir(self.path)


def least_limit():
    """The least limit on addresses, in KiB, under which a program starts: with CUDA's libraries it
    is twice as much."""
    few, enough = 50000, 8000000
    while enough - few > 4000:
        limit = (few + enough) // 2
        starts = limited("ulimit -v %d" % limit, "--help").returncode == 0
        few, enough = (few, limit) if starts else (limit, enough)
    return enough


def an_address_space():
    if SANITIZED:
        raise Skip("a sanitizer maps more than any limit")
    least = least_limit()
    what_fits_runs("address", "ulimit -v %d" % (least + 500000), (least + 500000) // 1024)
    for more, wanted in ((20000, "smallest batch"),
                         (-60000, "(ulimit -v)")):  # OpenBLAS would try for ever to map its buffers
        done = limited("ulimit -v %d" % (least + more), config("narrow"))
        check(
            done.returncode == 71 and len(done.stderr.splitlines()) == 1 and wanted in done.stderr,
            repr(done))


def a_group_of_300_megabytes():
    if SANITIZED:
        raise Skip("a sanitizer's own memory grows while a run is planned")
    for ranks in (0, 2):
        with Group("memory", v2={"memory.max": "300M"},
                   v1={"memory.limit_in_bytes": "300M"}) as enter:
            what_fits_runs("group_%d" % ranks, enter, 300, ranks)


def a_quota_of_one_core():
    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        raise Skip("needs two cores")
    path = config("quota", threads="auto")
    with Group("cpu", v2={"cpu.max": "90000 100000"}, v1={"cpu.cfs_quota_us": "90000"}) as enter:
        for command, threads in ((enter, 1), ("true", None)):
            done = limited(command, path, "output=%s_%s" % (run_directory("quota"), threads))
            found = int(re.search(r", (\d+) threads \|", done.stdout).group(1))
            check(found == threads or (threads is None and found >= 1),
                  "%d threads in %r" % (found, command))


if __name__ == "__main__":
    main(an_address_space, a_group_of_300_megabytes, a_quota_of_one_core)
