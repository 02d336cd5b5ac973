#include "launch/signals.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t request = STOP_NONE, number = 0;

static void on_save(int signal) {
    (void)signal;
    if (request < STOP_SAVE) request = STOP_SAVE;
}

static void on_stop(int signal) {
    number = signal;
    request = STOP_NOW;
}

void signals_install(void) {
    struct sigaction save = {.sa_handler = on_save, .sa_flags = SA_RESTART};
    struct sigaction stop = {.sa_handler = on_stop,
                             .sa_flags = SA_RESTART | (int)SA_RESETHAND}; /* a second one kills */
    sigaction(SIGUSR1, &save, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    signal(SIGXFSZ, SIG_IGN); /* a write over the limit fails instead: see core/file.h */
    signal(SIGPIPE, SIG_IGN); /* and one to a console that is gone: see launch/metrics.h */
}

StopRequest signals_request(void) { return (StopRequest)request; }

int signals_number(void) { return number; }
