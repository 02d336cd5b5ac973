"""The environment of mpirun in tests, for Open MPI 4.1 (orte) and 5 (PRRTE); each ignores the variables of the other."""

ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    # More ranks than cores. A policy of PRRTE's own leaves out its default of binding ranks to cores.
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    # mpirun's own paragraphs, after an error of ours; PRRTE has no such word, and writes them to the standard error.
    "OMPI_MCA_orte_execute_quiet": "1",
}
