#!/usr/bin/env python3
"""No run hangs if one of its ranks does: the watchdog's scenarios, with tests/dist/mpi_watch.c.
It only waits."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from mpi_programs import SANITIZED, check, command, environment, main, mpirun, own_lines, run

DEADLINE = 10.0  # seconds from the fault until no rank is left
LATE = 2         # the rank that misbehaves, of four


class Job:
    """A run of mpi_watch with four ranks."""

    def __init__(self, *arguments):
        self.out, self.err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        self.start = time.monotonic()
        self.process = subprocess.Popen(command(4, "mpi_watch", *arguments), env=environment,
                                        stdout=self.out, stderr=self.err)
        self.pids = {}
        while len(self.pids) < 4:
            check(time.monotonic() - self.start < 30 and self.process.poll() is None,
                  "the ranks do not start")
            time.sleep(0.05)
            self.out.seek(0)
            self.pids = {
                int(r): int(p)
                for r, p in re.findall(r"rank (\d+) pid (\d+)\n", self.out.read())
            }

    def signal(self, number):
        os.kill(self.pids[LATE], number)

    def end(self, seconds):
        """Waits for mpirun and every rank; kills what is left and fails where that takes longer
        than `seconds`."""
        since = time.monotonic()
        try:
            code = self.process.wait(seconds)
            while any(is_alive(p) for p in self.pids.values()):
                check(time.monotonic() - since < seconds, "ranks are left behind")
                time.sleep(0.05)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there after {seconds} s") from None
        finally:
            for pid in self.pids.values():
                if is_alive(pid):
                    os.kill(pid, signal.SIGKILL)
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
        self.err.seek(0)
        return code, own_lines("mpi_watch", self.err.read())


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/cmdline") as line:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z" and "mpi_watch" in line.read()
    except OSError:
        return False


def faults(job, seconds, pattern):
    code, lines = job.end(seconds)
    check(code != 0, "mpirun returned 0")
    check(len(lines) == 1, f"not one line: {lines}")
    check(re.fullmatch("mpi_watch: error: " + pattern, lines[0]),
          f"{lines[0]!r} is not {pattern!r}")


def stopped_rank():
    job = Job("run")
    time.sleep(2)
    job.signal(signal.SIGSTOP)
    faults(job, DEADLINE, rf"rank {LATE} on \S+ stopped responding 6\.\d s ago in step \d+, .+; "
                          r"all ranks end \(exit 1\)")


def dies(job):
    """The launcher sees a death too, and whoever is first ends the run; where it is mpirun, ours is
    not said."""
    code, lines = job.end(DEADLINE)
    check(code != 0, "mpirun returned 0")
    check(
        len(lines) <= 1 and
        all(re.search(rf"rank {LATE} on \S+ died in step \d+, ", x) for x in lines), f"{lines}")
    return len(lines)


def killed_rank():
    for _ in range(10):
        job = Job("run")
        time.sleep(1)
        job.signal(signal.SIGKILL)
        if dies(job):
            return
    raise AssertionError("no rank named the dead one in ten runs")


def rank_that_exits():
    dies(Job("exit"))


def hung_rank():
    # 20 ms a step until step 12, then the fault.
    faults(
        Job("hang"), DEADLINE + 1,
        rf"rank {LATE} on \S+ hangs: no progress for 8\.\d s in step 12, "
        r"layernorm_forward, while others wait in all_reduce of bucket 3; all ranks end \(exit 1\)")


def hung_before_a_collective_of_the_main_thread():
    faults(
        Job("hang-main", "2"), DEADLINE,
        rf"rank {LATE} on \S+ hangs: no progress for 2\.\d s in step 12, "
        r"layernorm_forward, while others wait in .+; all ranks end \(exit 1\)")


def frozen_while_it_waits():
    faults(
        Job("freeze",
            "2"), DEADLINE, rf"rank {LATE} on \S+ hangs: no progress for 2\.\d s in step 12, "
        r"layernorm_backward, while others wait in all_reduce of bucket 3; all ranks end \(exit 1\)"
    )
    faults(
        Job("freeze-main", "2"), DEADLINE,
        rf"rank {LATE} on \S+ hangs: no progress for 2\.\d s in step 12, .+, "
        r"while others wait in .+; all ranks end \(exit 1\)")


def rank_in_another_collective():
    faults(
        Job("lost", "1.5"), DEADLINE + 4,
        r"rank \d on \S+ has waited [12] s in .+ in another collective; "
        r"all ranks end \(exit 1\)")


def all_ranks_hang():
    faults(
        Job("sleep", "1"), DEADLINE,
        r"rank \d on \S+ hangs: no progress for 4\.\d s in step 12, layernorm_forward, "
        r"and no rank makes any; all ranks end \(exit 1\)")


def slow_ranks_live():
    for mode in ("slow", "pace", "allow"):
        code, lines = Job(mode, "1.5").end(40)
        check(code == 0 and lines == [], f"{mode}: exit {code}, {lines}")


def frozen_job_lives():
    job = Job("slow", "1.5")
    for _ in range(2):
        time.sleep(1)
        for number, pause in ((signal.SIGSTOP, 3), (signal.SIGCONT, 0)):
            for pid in job.pids.values():
                os.kill(pid, number)
            time.sleep(pause)
    code, lines = job.end(40)
    check(code == 0 and lines == [], f"exit {code}, {lines}")


def a_rank_stopped_while_it_starts():
    """Before there is a watchdog, in MPI_Init too."""
    for victim, delay in ((1, 0.02), (0, 0.05), (2, 0.1), (1, 0.15)):
        process = subprocess.Popen(command(3, "mpi_watch", "run"), env=environment, text=True,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        pids, begin = [], time.monotonic()
        while not pids:
            check(time.monotonic() - begin < 30, "the rank does not start")
            pids = [pid for pid, rank in mpirun.ranks_below(process.pid) if rank == victim]
        time.sleep(delay)
        os.kill(pids[0], signal.SIGSTOP)
        try:
            lines = own_lines("mpi_watch", process.communicate(timeout=3 * DEADLINE)[1])
        finally:
            if process.poll() is None:
                for pid in mpirun.children(process.pid):
                    os.kill(pid, signal.SIGKILL)
                process.kill()
        named = [
            re.search(rf"rank {victim} on \S+ stopped responding \d\.\d s ago", line)
            for line in lines
        ]
        check(  # two may find it out at once; mpirun 4.1 may crash when ranks end in MPI_Init
            process.returncode in (1, -signal.SIGSEGV) and named and all(named),
            f"rank {victim} after {delay} s: exit {process.returncode}, {lines}")


def segments(job):
    """The shared memory of a job's ranks, by what they have mapped; made to look a minute old."""
    paths = set()
    for pid in job.pids.values():
        with open(f"/proc/{pid}/maps") as maps:
            paths |= set(re.findall(r"/dev/shm/(?:vader|sm)_segment\.\S+", maps.read()))
    for path in paths:
        os.utime(path, (time.time() - 60,) * 2)
    return paths


def shared_memory_of_killed_runs_goes():
    dead, live = Job("run"), Job("run")
    left, used = segments(dead), segments(live)
    check(len(left) >= 4 and len(used) >= 4 and not left & used, f"segments: {left}, {used}")
    for pid in (dead.process.pid, *dead.pids.values()):  # the launcher first, which would tidy up
        os.kill(pid, signal.SIGKILL)
    dead.process.wait()
    while any(is_alive(pid) for pid in dead.pids.values()):
        time.sleep(0.01)
    code, out, err = run(2, "mpi_world", "collectives")
    check(code == 0, f"exit {code}: {out}{err}")
    still_there, lost = [path for path in left if os.path.exists(path)
                         ], [path for path in used if not os.path.exists(path)]
    live.process.send_signal(signal.SIGTERM)
    live.end(DEADLINE)
    check(not still_there, f"of a dead run: {still_there}")
    check(not lost, f"of a live run: {lost}")


def sigterm_ends_quietly():
    for _ in range(3):
        job = Job("run")
        time.sleep(0.7)
        job.process.send_signal(signal.SIGTERM)
        code, lines = job.end(DEADLINE)
        check(code != 0 and lines == [], f"exit {code}, {lines}")


if __name__ == "__main__":
    # The sanitizers need each report of the watchdog once.
    plain = [] if SANITIZED else [
        a_rank_stopped_while_it_starts, shared_memory_of_killed_runs_goes, slow_ranks_live,
        frozen_job_lives, hung_before_a_collective_of_the_main_thread, frozen_while_it_waits,
        killed_rank, rank_that_exits
    ]
    sys.exit(
        main(*plain, stopped_rank, hung_rank, rank_in_another_collective, all_ranks_hang,
             sigterm_ends_quietly))
