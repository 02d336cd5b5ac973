#!/usr/bin/env python3
"""checkpoint.memory_interval: a killed run goes on from the memory of its host, as if it had not
been killed; a damaged snapshot is not used; nothing of another run is used or removed, and nothing
stays.

sanitizers: no
"""

import errno
import glob
import json
import os
import shutil
import signal

from e2e import (check, checkpoints, config, equal, losses, no_duplicates, rank_of, run,
                 run_directory, start, states, train)
from e2e import main
from injected import injected
from studies import fake_program

# No checkpoint on disk before the end.
MEMORY = {"training__stop": {"steps": 120}, "checkpoint__interval": 0,
          "checkpoint__memory_interval": "1 steps"}


def memory(directory):
    """What the names of a run's folders in memory start with; makes the run's directory."""
    os.makedirs(directory, exist_ok=True)
    return "/dev/shm/hourglass-%x-" % os.stat(directory).st_ino


def left(directory):
    """The snapshots in memory that belong to a run, and its link to them."""
    found = glob.glob(memory(directory) + "*")
    return found + [path for path in [directory + "/memory"] if os.path.lexists(path)]


def snapshots(directory):
    return sorted(glob.glob(directory + "/memory/step_*.h5"))


def wait_for_snapshot(job, directory, least=1):
    """Until there is a snapshot of step `least` or later."""
    job.wait_until(lambda: any(int(os.path.basename(path)[5:-3]) >= least
                               for path in snapshots(directory)), "no snapshot")


def killed(name):
    """A run of one rank that was killed after its first snapshot; its config and directory."""
    path, directory = config(name, **MEMORY), run_directory(name)
    job = start(["train", path])
    wait_for_snapshot(job, directory)
    job.send(signal.SIGKILL)
    job.end()
    equal(checkpoints(directory), [], "checkpoints on disk")
    equal(len(left(directory)), 2, "the folder and the link")
    return path, directory


def same_as_alone(directory, ranks):
    name = "alone%d" % ranks
    if not os.path.exists(run_directory(name)):
        train(config(name, **dict(MEMORY, checkpoint__memory_interval=0)), ranks=ranks)
    last = [states([checkpoints(run)[-1]]) for run in (directory, run_directory(name))]
    equal(last[0], last[1], "the last state")
    no_duplicates(directory)
    equal(losses(directory), losses(run_directory(name)), "losses")


def a_supervised_run_goes_on_from_memory():
    path, directory = config("kept", **MEMORY), run_directory("kept")
    job = start(["supervise", path, "--ranks=2"])
    wait_for_snapshot(job, directory)
    os.kill(rank_of(job), signal.SIGKILL)
    done = job.end()
    equal(done.code, 0, repr(done))
    check("the newest state was in the memory of " in done.out, repr(done))
    with open(directory + "/incidents.jsonl", encoding="utf-8") as file:
        incident = json.loads(file.readline())
    check(incident["checkpoint"] > 0, repr(incident))
    check("resumed from %s/checkpoints/step_%08d.h5" % (directory, incident["checkpoint"])
          in done.out, repr(done))
    same_as_alone(directory, 2)
    equal(left(directory), [], "left")
    with open(directory + "/plan.json", encoding="utf-8") as file:
        planned = json.load(file)["checkpoint_bytes"]
    with open(run_directory("alone2") + "/plan.json", encoding="utf-8") as file:
        equal(planned, 3 * json.load(file)["checkpoint_bytes"], "planned: the image and two files")


def a_requeued_job_may_get_other_hosts():
    """The supervisor in a Slurm job names the step that any host can go on from.

    The kill comes after step 600 is on the disk, and long before step 1,200 is."""
    path, directory = config("requeued", **dict(
        MEMORY, training__stop={"steps": 1200}, checkpoint__interval="600 steps")), \
        run_directory("requeued")
    job = start(["supervise", path, "--ranks=2"], PATH=fake_program("scontrol", "exit 0\n"),
                SLURM_JOB_ID="7")
    job.wait_until(lambda: checkpoints(directory), "no checkpoint")
    wait_for_snapshot(job, directory, 601)
    os.kill(rank_of(job), signal.SIGKILL)
    done = job.end()
    check("the job is requeued and goes on from the newest state in the memory of the hosts, or "
          "else step 600" in done.err, repr(done))
    done = run("train", path, ranks=2)
    check("the newest state was in the memory of " in done.out, repr(done))


def a_damaged_snapshot_is_not_used():
    path, directory = killed("damaged")
    for snapshot in snapshots(directory):
        with open(snapshot, "r+b") as file:
            file.seek(os.path.getsize(snapshot) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
    done = train(path)
    check("resumed" not in done.out and "in the memory of" not in done.out, repr(done))
    same_as_alone(directory, 0)
    equal(left(directory), [], "left")


def memory_that_fills_ends_no_run():
    """One warning, whose advice is about memory; the states are those without the fault."""
    path, directory = config("full", **MEMORY), run_directory("full")
    done = train(path, **injected("write:%s:3+:%d" % (memory(directory), errno.ENOSPC)))
    warned = [line for line in done.out.splitlines() if line.startswith("warning: no snapshot")]
    check(len(warned) == 1 and done.err == "", repr(done))
    check("warning: no snapshot in memory: /dev/shm/" in warned[0] and
          "No space left on device" in warned[0] and "checkpoint.keep" not in warned[0] and
          "set checkpoint.memory_interval: 0" in warned[0], warned[0])
    same_as_alone(directory, 0)
    equal(left(directory), [], "left")


def a_missed_snapshot_is_followed_by_others():
    path, directory = config("missed", **MEMORY), run_directory("missed")
    job = start(["train", path], **injected("write:%s:1:%d" % (memory(directory), errno.EIO)))
    wait_for_snapshot(job, directory)
    job.send(signal.SIGKILL)
    done = job.end()
    check("no snapshot in memory: /dev/shm/" in done.out, repr(done))
    done = train(path)
    check("the newest state was in the memory of " in done.out, repr(done))
    same_as_alone(directory, 0)


def memory_that_cannot_be_written_is_refused_at_the_start():
    path, directory = config("closed", **MEMORY), run_directory("closed")
    done = run("train", path, **injected("mkdir:%s:1:%d" % (memory(directory), errno.EROFS)))
    check(done.code == 78 and len(done.errors()) == 1 and
          "Read-only file system; set checkpoint.memory_interval: 0" in done.err, repr(done))
    equal(left(directory), [], "left")


def a_copy_of_a_run_leaves_the_snapshots_alone():
    path, directory = killed("original")
    before, copy = snapshots(directory), run_directory("copy")
    shutil.copytree(directory, copy, symlinks=True)
    done = train(path, "output=" + copy)
    check("resumed" not in done.out, repr(done))
    equal(left(copy), [], "left by the copy")
    equal(snapshots(directory), before, "snapshots of the original")
    done = train(path)
    check("the newest state was in the memory of " in done.out, repr(done))
    same_as_alone(directory, 0)
    equal(left(directory), [], "left")


if __name__ == "__main__":
    main(a_supervised_run_goes_on_from_memory, a_requeued_job_may_get_other_hosts,
         a_damaged_snapshot_is_not_used, memory_that_fills_ends_no_run,
         a_missed_snapshot_is_followed_by_others,
         memory_that_cannot_be_written_is_refused_at_the_start,
         a_copy_of_a_run_leaves_the_snapshots_alone)
