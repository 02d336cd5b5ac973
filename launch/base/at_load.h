/* What a program does before its libraries are initialised, since some of them do things then that
 * cannot be undone: OpenBLAS maps buffers, and tries for ever where a limit on addresses has no
 * room for them (the program ends with one line and exit code 71 instead); UCX, which Open MPI 5 is
 * linked with, takes SIGHUP. Linked into each program; called by the loader through .preinit_array
 * (System V ABI, "Initialization and Termination Functions"). */
#pragma once

/* First in main: SIGHUP is ignored, as nohup has it, or ends the process, as when the program was
 * started. */
void at_load_restore(void);
