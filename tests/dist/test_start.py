#!/usr/bin/env python3
"""A rank that never starts ends the run. It only waits: a minute, for the limit of MPI_Init."""

import re
import subprocess
import sys
import time

from mpi_programs import check, command, environment, main, own_lines


def a_start_without_the_others():
    """Neither dead nor stopped: it never comes to MPI_Init."""
    begin = time.monotonic()
    late = 'if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then exec sleep 200; else exec "$@"; fi'
    mpirun, program = command(2, "mpi_watch", "run")[:3], command(2, "mpi_watch", "run")[3:]
    done = subprocess.run([*mpirun, "sh", "-c", late, "-", *program], env=environment, timeout=120,
                          text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    lines, seconds = own_lines("mpi_watch", done.stderr), time.monotonic() - begin
    check(done.returncode != 0 and len(lines) == 1 and 60 < seconds < 80 and
          re.search(r"rank 0 on \S+ has waited 6\d s for other ranks in MPI_Init", lines[0]),
          f"exit {done.returncode} after {seconds:.0f} s: {lines}")


if __name__ == "__main__":
    sys.exit(main(a_start_without_the_others))
