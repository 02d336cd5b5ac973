/* The cores on which a rank computes. mpirun binds each of one or two ranks to a single core, which
 * leaves the other cores idle. Instead, the ranks of a host divide evenly the cores that the
 * launcher may use. */
#pragma once

/* Binds this process to its share of the cores, before any thread starts, and returns the number of
 * threads to use: `threads` if positive; otherwise one per core of the share, limited by the CPU
 * time that control groups allow. Not collective. */
int cpu_share_take(int threads, int local_rank, int local_size);
