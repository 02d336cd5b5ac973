/* RUN/incidents.jsonl: one object per failure of a supervised run; supervisor.h lists the keys. */
#pragma once

#include "core/status.h"
#include "launch/supervise/hosts.h"

enum { INCIDENT_CAUSE_BYTES = 512 };

typedef struct Incident {
    int64_t attempt, ranks;
    const HostList *hosts;
    double seconds;
    int code;
    const char *cause, *first_cause;
    int64_t checkpoint, failures;
} Incident;

/* Appends the incident. A run that failed before it had a directory has no table: then it is not
 * noted, which is no error. Errors: those of text_file_append. */
NODISCARD Status incident_write(const char *directory, const Incident *incident, bool *is_noted);

/* Reads what a further start continues from the last incident; leaves it unchanged if there is
 * none. */
void incident_last(const char *directory, int64_t *attempt, int64_t *checkpoint, int64_t *failures,
                   char first_cause[INCIDENT_CAUSE_BYTES]);
