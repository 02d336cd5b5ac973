/* One start of a run under mpirun, to its end. */
#pragma once

#include "launch/config/config.h"
#include "launch/supervise/hosts.h"
#include "launch/supervise/incidents.h"
#include "launch/supervise/supervise_options.h"

typedef struct Attempt {
    int64_t number;              /* from 1 */
    int64_t ranks, accumulation; /* accumulation 0: training.batch_schedule sets it */
    /* the outcome */
    bool has_started; /* false: `cause` tells what kept it from starting */
    int code;
    double seconds;
    char cause[INCIDENT_CAUSE_BYTES]; /* its first error */
} Attempt;

/* Starts ./train on the hosts that answer, shows its output, forwards requests to stop as SIGUSR1,
 * and ends an mpirun that stays after its run. Errors: STATUS_FAILURE if it cannot be started. */
NODISCARD Status attempt_execute(Attempt *attempt, const Config *config,
                                 const SupervisorOptions *options, const HostList *hosts);
