/* Runs before the program's libraries are initialized, because some of their initialization cannot
 * be undone. OpenBLAS maps buffers and retries forever if a limit on the address space forbids it;
 * instead the program ends with one line and exit code 71. UCX, which Open MPI 5 links, replaces
 * the handler of SIGHUP. Linked into each program; the loader calls it through .preinit_array
 * (System V ABI, "Initialization and Termination Functions"). */
#pragma once

/* Call first in main. Restores the disposition of SIGHUP with which the program was started:
 * ignored under nohup, otherwise ending the process. */
void at_load_restore(void);
