#include "launch/supervise/incidents.h"

#include "launch/base/text_file.h"
#include "launch/base/utc.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *hosts_json(const HostList *hosts) {
    json_t *names = json_array();
    for (int i = 0; i < hosts->count; i++) {
        if (hosts->items[i].answers)
            json_array_append_new(names, json_string(hosts->items[i].name));
    }
    return names;
}

static json_t *incident_json(const Incident *i) {
    char now[UTC_BYTES];
    utc_now(now);
    return json_pack("{s:s, s:I, s:I, s:o, s:f, s:i, s:s, s:I, s:I, s:s}", "time", now, "attempt",
                     (json_int_t)i->attempt, "ranks", (json_int_t)i->ranks, "hosts",
                     hosts_json(i->hosts), "seconds", i->seconds, "exit", i->code, "cause",
                     i->cause, "checkpoint", (json_int_t)i->checkpoint, "failures",
                     (json_int_t)i->failures, "first_cause", i->first_cause);
}

static void path_of(const char *directory, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%s/incidents.jsonl", directory);
}

Status incident_write(const char *directory, const Incident *incident, bool *is_noted) {
    char path[PATH_MAX];
    path_of(directory, path);
    *is_noted = access(directory, F_OK) == 0;
    if (!*is_noted) return OK;
    json_t *value = incident_json(incident);
    char *line = value == NULL ? NULL : json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(6));
    Status status = line == NULL ? OUT_OF_MEMORY("an incident") : text_file_append(path, line);
    json_decref(value);
    free(line);
    *is_noted = !failed(status);
    return status;
}

/* A line that is cut or damaged, as by a power cut, is skipped. Modifies the text. */
static json_t *last_value(char *text) {
    json_t *value = NULL;
    for (char *end = text; value == NULL && end != NULL;) {
        end = strrchr(text, '\n');
        value = json_loads(end == NULL ? text : end + 1, 0, NULL);
        if (end != NULL) *end = '\0';
    }
    return value;
}

void incident_last(const char *directory, int64_t *attempt, int64_t *checkpoint, int64_t *failures,
                   char first_cause[INCIDENT_CAUSE_BYTES]) {
    char path[PATH_MAX], text[8192];
    path_of(directory, path);
    if (failed(text_file_tail(path, text, sizeof text))) return;
    json_t *value = last_value(text);
    json_int_t number = 0, step = -1, count = 0;
    const char *cause = "";
    if (value != NULL &&
        json_unpack(value, "{s:I, s:I, s:I, s:s}", "attempt", &number, "checkpoint", &step,
                    "failures", &count, "first_cause", &cause) == 0) {
        *attempt = number;
        *checkpoint = step;
        *failures = count;
        snprintf(first_cause, INCIDENT_CAUSE_BYTES, "%s", cause);
    }
    json_decref(value);
}
