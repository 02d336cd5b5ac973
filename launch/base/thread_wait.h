/* How OpenMP's threads wait for each other: a short spin, then sleep. OpenMP's default spins for
 * milliseconds, which takes shared cores from threads that compute (docs/results/threads.md). */
#pragma once

/* Call first in main. OpenMP reads its environment before main, so this executes the program again,
 * once, with GOMP_SPINCOUNT and KMP_BLOCKTIME set. Returns in the restarted program, if the user
 * has set one of these or OMP_WAIT_POLICY, and if it cannot restart. */
void thread_wait_choose(char **argv);
