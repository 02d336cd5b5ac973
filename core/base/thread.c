#include "core/base/thread.h"

#include <signal.h>
#include <string.h>

Status thread_start(const char *name, void *(*work)(void *), void *argument, pthread_t *out) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(out, NULL, work, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == 0 ? OK : ERROR(STATUS_FAILURE, "cannot start %s: %s", name, strerror(error));
}
