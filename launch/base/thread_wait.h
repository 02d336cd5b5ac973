/* How OpenMP's threads wait for each other: by a short spin, then asleep. OpenMP's own choice is to
 * spin for milliseconds, which takes the cores from those who compute wherever they are shared
 * (docs/results/threads.md). */
#pragma once

/* First in main. OpenMP reads its environment before main, so the program is started anew in its
 * place, once, with GOMP_SPINCOUNT and KMP_BLOCKTIME set. Returns where it has been, where the user
 * has chosen by one of these or by OMP_WAIT_POLICY, and where it cannot be. */
void thread_wait_choose(char **argv);
