#!/usr/bin/env python3
"""dist/ under mpirun: collectives and sums with 1, 2, 3 and 4 ranks, and errors of one rank."""

import os
import re
import subprocess
import sys

from mpi_programs import PROGRAMS, check, environment, main, own_lines, run


def collectives():
    for ranks in (1, 2, 3, 4):
        code, out, err = run(ranks, "mpi_world", "collectives")
        check(code == 0, f"{ranks} ranks: exit {code}: {out}{err}")


def without_mpirun():
    done = subprocess.run([os.path.join(PROGRAMS, "mpi_world"), "collectives"], env=environment,
                          timeout=20)
    check(done.returncode == 0, f"exit {done.returncode}")


def one_line_and_code_for_bad_input():
    for ranks, text in ((1, "val.bin: truncated, says 0"), (2,
                                                            "rank 1: val.bin: truncated, says 1"),
                        (4, "rank 1: val.bin: truncated, says 1")):
        code, out, err = run(ranks, "mpi_world", "disagree")
        check(code == 65, f"{ranks} ranks: exit {code}, not 65")
        check(
            own_lines("mpi_world", err) == ["mpi_world: error: " + text], f"{ranks} ranks: {err!r}")


def abort_names_the_rank():
    for ranks in (2, 4):
        code, out, err = run(ranks, "mpi_world", "abort")
        lines = own_lines("mpi_world", err)
        check(code == 78, f"{ranks} ranks: exit {code}, not 78")
        check(
            len(lines) == 1 and re.search(
                rf"rank {ranks - 1} on \S+: it does not fit; all ranks end \(exit 78\)", lines[0]),
            f"{ranks} ranks: {err!r}")


def sums():
    for ranks in (1, 2, 3, 4):
        code, out, err = run(ranks, "mpi_reduce", "check")
        check(code == 0, f"{ranks} ranks: exit {code}: {out}{err}")


def the_rank_count_does_not_change_a_bit():
    hashes = set()
    for ranks in (1, 2, 4):
        code, out, err = run(ranks, "mpi_reduce", "hash")
        check(code == 0 and out.count("hash ") == ranks, f"{ranks} ranks: exit {code}: {out}{err}")
        hashes.update(out.split()[1::2])
    check(len(hashes) == 1, f"different sums: {hashes}")


if __name__ == "__main__":
    sys.exit(
        main(collectives, without_mpirun, one_line_and_code_for_bad_input, abort_names_the_rank,
             sums, the_rank_count_does_not_change_a_bit))
