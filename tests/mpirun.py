"""mpirun in tests: its environment, for Open MPI 4.1 (orte) and 5 (PRRTE), and the processes below
it. Each version ignores the variables of the other."""

import re

ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    # Allows more ranks than cores. An explicit PRRTE policy also disables its default binding of
    # ranks to cores.
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    # Suppresses mpirun's own paragraphs after an error. PRRTE has no such option and writes them to
    # stderr.
    "OMPI_MCA_orte_execute_quiet": "1",
    # Ranks of one host. Open MPI 5 writes a warning to stderr if it cannot pair the addresses of an
    # interface with themselves.
    "OMPI_MCA_btl_tcp_if_include": "lo",
}


def children(parent):
    """The pids of a process's children."""
    with open("/proc/%d/task/%d/children" % (parent, parent)) as file:
        return [int(pid) for pid in file.read().split()]


def ranks_below(parent):
    """(pid, rank) of an mpirun's children that are ranks by now."""
    found = []
    try:
        pids = children(parent)
    except OSError:
        return found
    for pid in pids:
        try:
            with open("/proc/%d/environ" % pid, "rb") as file:
                rank = re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", file.read())
            if rank:
                found.append((pid, int(rank.group(1))))
        except OSError:
            pass
    return found
