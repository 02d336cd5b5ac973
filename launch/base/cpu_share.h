/* Which cores a rank computes on. mpirun binds each of one or two ranks to a single core, which
 * would leave the others of the machine idle; so ranks of one host share evenly what the launcher
 * itself may use. */
#pragma once

/* Binds this process to its share of the cores, before any thread is started, and returns how many
 * threads to use: `threads` where it is positive, else one a core of the share, and no more than
 * its share of the CPU time that control groups allow. Not collective. */
int cpu_share_take(int threads, int local_rank, int local_size);
