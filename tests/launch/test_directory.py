#!/usr/bin/env python3
"""How a run claims its directory: a new one, an existing one, one that another start has just
claimed, a foreign one.
sanitizers: no"""

import fcntl
import os
import shutil
import signal
import struct

from e2e import (ENVIRONMENT, PROGRAMS, WORK, Job, Skip, check, config, equal, main, run_directory,
                 start, summary, train, tree, unfinished)

F_OFD_SETLK = 37


def write(*path, text="mine\n"):
    path = os.path.join(*path)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def contents(folder):
    """What is in a folder, by name, with the text of its files."""
    found = {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        found[name] = open(path, encoding="utf-8").read() if os.path.isfile(path) else None
    return found


def a_start_beside_one_that_has_just_begun():
    """The other start holds the lock; its first file does not exist yet."""
    path, directory = config("begun"), run_directory("begun")
    os.makedirs(directory)
    unfinished(directory, "config.yaml")
    with open(os.path.join(directory, "run.lock"), "w") as lock:
        lock.write("process 1 on nowhere\n")
        lock.flush()
        fcntl.fcntl(lock, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))
        before = contents(directory)
        for arguments in ((), ("--resume=none",)):
            done = train(path, *arguments, code=1)
            check("another run is using this directory: process 1 on nowhere" in done.errors()[0],
                  repr(done))
            equal(contents(directory), before, "what the other start has there")
    train(path)


def three_starts_at_once():
    path = config("race", training__stop__steps=60)
    for i in range(4):
        output = "output=%s/race_%d" % (WORK, i)
        ends = [job.end() for job in [start(["train", path, output]) for _ in range(3)]]
        for done in ends:
            check(done.code == 0 or (done.code == 1 and "another run is using" in done.err),
                  repr(ends))
        check(any(done.code == 0 for done in ends), repr(ends))
        equal(summary("%s/race_%d" % (WORK, i))["steps"], 60, "steps")


def a_path_that_leads_elsewhere():
    """The checked path does not exist, and the created one would be an existing directory."""
    path, folder = config("elsewhere"), os.path.join(WORK, "somebody")
    os.makedirs(folder)
    write(folder, "plan.json")
    before = contents(folder)
    for output in ("new/..", "new/../", "new/../.", "a/../../somebody", "new/b/../..", ".", "./",
                   ""):
        done = train(path, "output=%s/%s" % (folder, output), code=78)
        check(len(done.errors()) == 1, repr(done))
        equal(contents(folder), before, "after output=" + output)
    for name in ("..", "."):
        done = train(path, "name=" + name, "output=%s/none/${name}" % WORK, code=78)
        check("cannot name a run" in done.err, repr(done))
    check(not os.path.exists(WORK + "/none"), "a directory")


def a_path_may_begin_with_dots():
    """They are relative to the current directory, which exists."""
    folder = os.path.relpath(os.path.join(WORK, "relative"))
    train(config("relative"), "output=./" + folder)
    equal(summary(folder)["status"], "done", "status")


def an_empty_directory_stays_empty_where_the_run_does_not_begin():
    path, directory = config("unbegun"), run_directory("unbegun")
    os.makedirs(directory)
    train(path, "--resume=" + WORK + "/none.h5", code=65)
    equal(os.listdir(directory), [], "what was left there")


def a_disk_of_checkpoints_that_is_not_mounted():
    """Nothing starts anew over the records of the run; with the disk back it goes on."""
    path, directory, disk = config("disk"), run_directory("disk"), WORK + "/disk"
    train(path)
    os.makedirs(disk)
    shutil.move(directory + "/checkpoints", disk)
    os.symlink(disk + "/checkpoints", directory + "/checkpoints")
    os.rename(disk, disk + ".away")
    before = [(entry.name, entry.stat(follow_symlinks=False).st_mtime_ns)
              for entry in os.scandir(directory)]
    done = train(path, "training.stop.steps=20", code=1)
    check(len(done.errors()) == 1 and "checkpoints: is a link that leads nowhere: " in done.err,
          repr(done))
    equal([(entry.name, entry.stat(follow_symlinks=False).st_mtime_ns)
           for entry in os.scandir(directory)], before, "what is there")
    os.rename(disk + ".away", disk)
    check("resumed from " in train(path, "training.stop.steps=20").out, "a new start")


def checkpoints_that_cannot_be_written():
    """It is said at the start, not at the first save. root may write everywhere."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        raise Skip("root may write everywhere, and there is no setpriv")
    path, directory = config("closed"), run_directory("closed")
    train(path)
    before = tree(directory)
    drop = []
    if os.geteuid() == 0:
        drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    os.chmod(WORK, 0o755)
    os.chmod(directory, 0o777)
    for entry in os.scandir(directory):
        os.chmod(entry.path, 0o555 if entry.is_dir() else 0o666)
    program = shutil.copy(os.path.join(PROGRAMS, "train"), WORK)
    done = Job([*drop, program, path, "training.stop.steps=20"], ENVIRONMENT).end()
    check(done.code == 1 and "closed/checkpoints: cannot be written: Permission denied; change"
          in done.err, repr(done))
    equal(tree(directory), before, "what is there")


def a_lock_of_somebody_else():
    """A file run.lock that no run has written is refused, and keeps its text."""
    path, folder = config("foreign"), os.path.join(WORK, "foreign")
    os.makedirs(folder)
    write(folder, "run.lock")
    for more in ((), ("notes",)):
        for name in more:
            write(folder, name)
        before = contents(folder)
        done = train(path, "output=" + folder, code=78)
        check(len(done.errors()) == 1 and "run.lock: is not the lock of a run" in done.err,
              repr(done))
        equal(contents(folder), before, "what is there")
    for text in ("process 1 on nowhere\n", "\0" * 20, ""):
        shutil.rmtree(folder)
        os.makedirs(folder)
        write(folder, "run.lock", text=text)
        train(path, "output=" + folder)


def a_lock_that_is_removed():
    """The run says so and locks again. One that comes too late ends, and leaves the other alone."""
    path = config("removed", training__stop__steps=1000000, logging__interval=10,
                  checkpoint={"interval": "20 steps", "keep": 2})
    directory = run_directory("removed")
    lock = directory + "/run.lock"
    first = start(["train", path])
    first.wait_for(r"(?m)^step 40/")
    os.remove(lock)
    first.wait_for("warning: " + lock + " was removed or replaced; it is locked again")
    check("another run is using this directory" in train(path, code=1).err, "two runs")
    first.send(signal.SIGSTOP)
    os.remove(lock)
    second = start(["train", path])
    second.wait_for(r"(?m)^step \d+/")
    first.send(signal.SIGCONT)
    done = first.end()
    wanted = "another run uses the directory now: process %d on " % second.process.pid
    check(done.code == 1 and len(done.errors()) == 1 and wanted in done.err, repr(done))
    equal(summary(directory)["status"], "running", "what the other one has written")
    second.send(signal.SIGUSR1)
    done = second.end()
    check(done.code == 75 and "run.lock" not in done.out, repr(done))


if __name__ == "__main__":
    main(a_start_beside_one_that_has_just_begun, three_starts_at_once, a_path_that_leads_elsewhere,
         a_path_may_begin_with_dots, an_empty_directory_stays_empty_where_the_run_does_not_begin,
         a_disk_of_checkpoints_that_is_not_mounted, checkpoints_that_cannot_be_written,
         a_lock_of_somebody_else, a_lock_that_is_removed)
