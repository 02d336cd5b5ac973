/* Runs before the program's libraries are initialized, because some of their initialization cannot
 * be undone. OpenBLAS maps buffers and retries forever if a limit on the address space forbids it;
 * instead the program ends with one line and exit code 71. A program that is compiled for another
 * processor ends with one line and exit code 78, instead of by SIGILL. UCX, which Open MPI 5 links,
 * replaces the handler of SIGHUP. Linked into each program and compiled for any processor of the
 * architecture; the loader calls it through .preinit_array (System V ABI, "Initialization and
 * Termination Functions"). */
#pragma once

/* Call first in main. Restores the disposition of SIGHUP with which the program was started:
 * ignored under nohup, otherwise ending the process. What else a parent may have passed on does not
 * stay: an ignored SIGCHLD, with which no exit code of a child is known, and blocked signals, with
 * which no request to stop arrives. */
void at_load_restore(void);
