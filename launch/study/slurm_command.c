#include "launch/study/slurm_command.h"

#include "core/base/clock.h"
#include "launch/base/process.h"
#include "launch/base/signals.h"

#include <stdbool.h>
#include <string.h>

static const double PATIENCE_SECONDS = 180, LONGEST_PAUSE_SECONDS = 30;

/* As slurm_strerror words it. */
static bool has_no_answer(const char *errors) {
    static const char *const parts[] = {"nable to contact", "timed out", "onnection refused",
                                        "standby mode", "ero Bytes were transmitted"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strstr(errors, parts[i]) != NULL) return true;
    }
    return false;
}

Status slurm_command_run(char *const *arguments, char *output, char *errors, size_t capacity,
                         int *code) {
    double end = clock_seconds() + PATIENCE_SECONDS;
    for (double pause = 1;; pause *= 2) {
        Status status = process_run(arguments, output, errors, capacity, code);
        bool may_pass = failed(status) || (*code != 0 && has_no_answer(errors));
        if (!may_pass || clock_seconds() > end || signals_request() == STOP_NOW) return status;
        signals_sleep(pause < LONGEST_PAUSE_SECONDS ? pause : LONGEST_PAUSE_SECONDS, STOP_NOW);
    }
}
