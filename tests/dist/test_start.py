#!/usr/bin/env python3
"""A rank that never starts ends the run, as do one that hangs before the watchdog exists, and
memory that is lacking. It only waits: a minute, for the limit of MPI_Init."""

import re
import subprocess
import sys
import time

from mpi_programs import check, command, environment, main, own_lines

def ended(words):
    """The exit code, the error lines and the time of a run that ends by itself."""
    begin = time.monotonic()
    done = subprocess.run(words, env=environment, timeout=120, text=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return done.returncode, own_lines("mpi_watch", done.stderr), time.monotonic() - begin


def a_start_without_the_others():
    """Neither dead nor stopped: it never comes to MPI_Init."""
    late = 'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then exec sleep 200; else exec "$@"; fi'
    mpirun, program = command(2, "mpi_watch", "run")[:3], command(2, "mpi_watch", "run")[3:]
    code, lines, seconds = ended([*mpirun, "sh", "-c", late, "-", *program])
    check(code != 0 and len(lines) == 1 and 60 < seconds < 80 and
          re.search(r"rank 0 on \S+ has waited 6\d s for other ranks in MPI_Init", lines[0]),
          f"exit {code} after {seconds:.0f} s: {lines}")


def a_rank_that_hangs_early():
    """As one whose open() of the data never returns: ten minutes of the program's clock."""
    code, lines, seconds = ended(command(3, "mpi_watch", "early"))
    waited = re.compile(r"rank [02] on \S+ has waited 60\d s for other ranks in start-up")
    check(code != 0 and seconds > 10 and lines and all(map(waited.search, lines)),
          f"exit {code} after {seconds:.0f} s: {lines}")


def a_table_without_memory():
    """Rank 0 knows it alone: the others are inside MPI."""
    code, lines, seconds = ended(command(3, "mpi_watch", "full"))
    check(code == 1 and len(lines) == 1 and seconds < 20 and
          re.search(r"rank 0 on \S+: MPI failed in MPI_Win_allocate_shared: .*; see that /dev/shm "
                    "has room", lines[0]), f"exit {code} after {seconds:.0f} s: {lines}")


if __name__ == "__main__":
    sys.exit(main(a_start_without_the_others, a_rank_that_hangs_early, a_table_without_memory))
