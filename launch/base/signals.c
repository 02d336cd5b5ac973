#include "launch/base/signals.h"

#include "core/base/clock.h"

#include <signal.h>
#include <stddef.h>
#include <time.h>

/* `timeout` and some shells signal both a process and its group. A second signal within this time
 * is the same request. */
static const double SAME_SECONDS = 0.1;

static volatile sig_atomic_t request = STOP_NONE, number = 0;
static volatile double stop_asked_at;
static bool ignores_hangup;

static void on_save(int signal) {
    (void)signal;
    if (request < STOP_SAVE) request = STOP_SAVE;
}

/* A second SIGTERM or SIGINT kills. A closing terminal may send SIGHUP twice. */
static void on_stop(int signal_number) {
    double now = clock_seconds();
    if (number == 0) {
        stop_asked_at = now;
        number = signal_number;
        request = STOP_NOW;
    } else if (signal_number != SIGHUP && signal_number == number &&
               now - stop_asked_at > SAME_SECONDS) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
    }
}

static void handle(int signal_number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(signal_number, &action, NULL);
}

/* Records once whether SIGHUP is ignored, as under nohup, because MPI_Init may replace the
 * handler. */
static void note_hangup(void) {
    static bool is_noted;
    struct sigaction hangup;
    if (!is_noted)
        ignores_hangup = sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == SIG_IGN;
    is_noted = true;
}

void signals_prepare(void) {
    note_hangup();
    signal(SIGINT, SIG_DFL); /* a script's background jobs ignore it */
    handle(SIGUSR1, on_save);
    signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit fails instead: see core/base/file.h */
    signal(SIGPIPE, SIG_IGN); /* as does a write to a closed console: see launch/run/metrics.h */
}

void signals_install(void) {
    signals_prepare();
    handle(SIGTERM, on_stop);
    handle(SIGINT, on_stop);
    handle(SIGHUP, ignores_hangup ? SIG_IGN : on_stop);
}

StopRequest signals_request(void) { return (StopRequest)request; }

void signals_sleep(double seconds, StopRequest least) {
    double end = clock_seconds() + seconds;
    while (clock_seconds() < end && signals_request() < least)
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
}

int signals_number(void) { return number; }

double signals_age(void) { return number == 0 ? 0 : clock_seconds() - stop_asked_at; }
