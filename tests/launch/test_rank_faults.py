#!/usr/bin/env python3
"""A failure of one rank ends all ranks with its cause; a slow file system does not count as a hang.
The faults of files and threads are injected between the program and libc. sanitizers: no
It only waits."""

import concurrent.futures
import ctypes
import os
import shutil
import signal
import subprocess

from e2e import WORK, Skip, check, config, corpus, equal, main, run, train
from faults import fault

DEADLINE = 10.0  # seconds from the fault until no rank is left


def side_by_side(function, cases):
    """Scenarios that mostly wait."""
    corpus()
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        for future in [pool.submit(function, *case) for case in cases]:
            future.result()


# ---- a rank stops or hangs -----------------------------------------------------------------------

PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207


def freeze_main_thread(pid):
    """Only the main thread stops; the rank's other threads continue, as when a file system
    hangs."""
    libc = ctypes.CDLL(None, use_errno=True)
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if libc.ptrace(ctypes.c_long(request), ctypes.c_long(pid), None, None) != 0:
            raise Skip("ptrace is not allowed here: " + os.strerror(ctypes.get_errno()))


def killed_stopped_and_hung_ranks():
    side_by_side(lambda name, *how: fault(config(name), *how, DEADLINE), [
        ("killed", 4, 2, lambda pid: os.kill(pid, signal.SIGKILL),
         r"rank 2 on \S+ .*step \d+, \w+"),
        ("stopped", 4, 1, lambda pid: os.kill(pid, signal.SIGSTOP),
         r"rank 1 on \S+ stopped .*step \d+, \w+"),
        ("first_stopped", 2, 0, lambda pid: os.kill(pid, signal.SIGSTOP),
         r"rank 0 on \S+ stopped .*step \d+, \w+"),
    ])


def a_rank_that_hangs():
    """Frozen where it happens to be: in its own work, or in a wait for the others. ptrace needs one
    thread from the start to the end."""
    fault(config("hung", model__n_embd=128, data__batch_size=8), 2, 1, freeze_main_thread,
          r"rank 1 on \S+ hangs: .*step \d+, \w+", DEADLINE, stays=True)


# ---- files and threads ---------------------------------------------------------------------------

# SLOW_WRITE: seconds for a checkpoint's fsync; SLOW_READ: for rank 1's first read of one;
# NO_THREAD: which thread that rank 1 wants from its watchdog on is refused.
PRELOADED = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int seconds(const char *name) { return getenv(name) == NULL ? 0 : atoi(getenv(name)); }
static int is_checkpoint(int fd) {
    char link[64], path[512] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return readlink(link, path, sizeof path - 1) > 0 &&
           (strstr(path, "/checkpoints/step_") != NULL ||
            strstr(path, "/checkpoints/.step_") != NULL);
}
static int is_rank_1(void) {
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    return rank != NULL && strcmp(rank, "1") == 0;
}
int fsync(int fd) {
    int (*next)(int) = dlsym(RTLD_NEXT, "fsync");
    if (is_checkpoint(fd)) sleep(seconds("SLOW_WRITE"));
    return next(fd);
}
ssize_t pread(int fd, void *to, size_t count, off_t at) {
    static int slept;
    ssize_t (*next)(int, void *, size_t, off_t) = dlsym(RTLD_NEXT, "pread");
    if (is_rank_1() && is_checkpoint(fd) && slept++ == 0) sleep(seconds("SLOW_READ"));
    return next(fd, to, count, at);
}
ssize_t pread64(int fd, void *to, size_t count, off_t at) { return pread(fd, to, count, at); }
static int threads = -1;
int eventfd(unsigned count, int flags) {
    int (*next)(unsigned, int) = dlsym(RTLD_NEXT, "eventfd");
    if (flags == EFD_CLOEXEC) threads = 0;
    return next(count, flags);
}
int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*work)(void *),
                   void *with) {
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        dlsym(RTLD_NEXT, "pthread_create");
    if (is_rank_1() && threads >= 0 && ++threads == seconds("NO_THREAD")) return EAGAIN;
    return next(thread, how, work, with);
}
"""


def preloaded():
    path = os.path.join(WORK, "preloaded.so")
    if not os.path.exists(path):
        if shutil.which("cc") is None:
            raise Skip("no C compiler")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", path, "-x", "c", "-"], input=PRELOADED,
                       text=True, check=True)
    return path


def slow_files(shared):
    path = config("slow_%d" % shared, deadline="2s", training__shard_optimizer=shared,
                  training__stop__steps=6, checkpoint__interval="3 steps")
    done = train(path, ranks=2, LD_PRELOAD=preloaded(), SLOW_WRITE="4")
    check(done.seconds > 8, "two slow writes: %r" % done)
    done = train(path, "training.stop.steps=8", ranks=2, LD_PRELOAD=preloaded(), SLOW_READ="4")
    check("resumed from" in done.out and done.seconds > 4, repr(done))


def slow_saves_and_loads_are_no_hang():
    """Longer than the deadline, while the other rank waits; a sharded optimizer replays a program
    in between."""
    preloaded()
    side_by_side(slow_files, [(False,), (True,)])


def a_rank_without_a_thread_is_named():
    for thread, name in ((1, "watchdog"), (2, "communication")):
        done = run("train", config("thread_%d" % thread), ranks=2, LD_PRELOAD=preloaded(),
                   NO_THREAD=str(thread))
        equal(done.code, 1, "exit code: %r" % done)
        equal(len(done.errors()), 1, "lines: %r" % done)
        check(
            "rank 1: cannot start the %s thread" % name in done.errors()[0] and
            done.seconds < DEADLINE, repr(done))


if __name__ == "__main__":
    main(killed_stopped_and_hung_ranks, a_rank_that_hangs, slow_saves_and_loads_are_no_hang,
         a_rank_without_a_thread_is_named)
