#include "launch/supervise/hosts.h"

#include "core/base/clock.h"
#include "core/base/escape.h"
#include "launch/base/process.h"
#include "launch/base/text_file.h"
#include "launch/config/value.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { AGENT_WORDS = 32, MOST_SLOTS = 1000000 };
static const double PROBE_SECONDS = 5;

/* One line; *name = NULL if it is empty. */
static Status line_parse(char *line, const char *path, int number, SupervisedHost *out) {
    *out = (SupervisedHost){.slots = 1};
    line[strcspn(line, "#")] = '\0';
    for (char *word; (word = strsep(&line, " \t\r")) != NULL;) {
        if (*word == '\0') continue;
        char *value = strchr(word, '=');
        if (out->name == NULL && value == NULL) {
            out->name = word;
        } else if (strncmp(word, "slots=", 6) == 0) {
            if (!value_parse_int(value + 1, &out->slots) || out->slots < 1 ||
                out->slots > MOST_SLOTS)
                return ERROR(STATUS_CONFIG, "%s:%d: '%s' needs a number from 1 to %d", path, number,
                             word, MOST_SLOTS);
        } else if (strncmp(word, "max_slots=", 10) != 0 && strncmp(word, "max-slots=", 10) != 0) {
            return ERROR(STATUS_CONFIG, "%s:%d: '%s' is none of NAME, slots=N, max_slots=N", path,
                         number, word);
        }
    }
    return OK;
}

static bool is_loopback(const char *name) {
    return strcmp(name, "127.0.0.1") == 0 || strcmp(name, "::1") == 0;
}

static bool is_this_host(const char *name) {
    char mine[256] = "";
    if (gethostname(mine, sizeof mine - 1) != 0) return false;
    return strcmp(name, mine) == 0 || strcmp(name, "localhost") == 0;
}

/* A host may stand on several lines, one for each slot. mpirun refuses two counts of slots. */
static void host_add(HostList *hosts, SupervisedHost host) {
    for (int i = 0; i < hosts->count; i++) {
        SupervisedHost *known = &hosts->items[i];
        bool is_same = strcmp(known->name, host.name) == 0 ||
                       (is_this_host(known->name) && is_this_host(host.name));
        if (is_same) known->slots += host.slots;
        if (is_same) return;
    }
    hosts->items[hosts->count++] = host;
}

Status hosts_read(const char *path, Arena *arena, HostList *out) {
    const char *text = NULL;
    *out = (HostList){0};
    TRY(text_file_read(arena, path, &text));
    if (text == NULL) return ERROR(STATUS_DATA, "%s: no such file", path);
    char *rest = arena_strdup(arena, text);
    out->items = arena_alloc(arena, (strlen(text) + 1) * sizeof *out->items);
    if (rest == NULL || out->items == NULL) return OUT_OF_MEMORY("hosts");
    for (int number = 1; rest != NULL; number++) {
        SupervisedHost host;
        TRY(line_parse(strsep(&rest, "\n"), path, number, &host));
        if (host.name == NULL) continue;
        if (is_loopback(host.name)) host.name = "localhost";
        host_add(out, host);
    }
    return out->count > 0 ? OK : ERROR(STATUS_CONFIG, "%s: names no host", path);
}

/* `AGENT HOST true` for one host; pid 0: this host, which needs none. */
typedef struct HostProbe {
    pid_t pid;
    char errors[PROCESS_FILE_BYTES];
} HostProbe;

/* The agent is the first of a list separated by colons. */
static Status probe_start(HostProbe *probe, const char *host, Arena *arena) {
    const char *agent = getenv("OMPI_MCA_plm_rsh_agent");
    char *rest = arena_strdup(arena, agent == NULL || *agent == '\0' ? "ssh" : agent);
    char *words[AGENT_WORDS + 8], *copy = arena_strdup(arena, host);
    if (rest == NULL || copy == NULL) return OUT_OF_MEMORY("hosts");
    rest[strcspn(rest, ":")] = '\0';
    int n = 0;
    for (char *word; n < AGENT_WORDS && (word = strsep(&rest, " ")) != NULL;) {
        if (*word != '\0') words[n++] = word;
    }
    char *last[] = {copy, "true", NULL};
    memcpy(words + n, last, sizeof last);
    TRY(process_file_create("probe", probe->errors));
    return process_start(&(ProcessPlan){.arguments = words, .errors = probe->errors}, &probe->pid);
}

/* The last line of the agent, or what ended it. */
static Status reason_find(const HostProbe *probe, int code, bool is_killed, Arena *arena,
                          const char **out) {
    char text[1024] = "", shown[512];
    if (failed(text_file_tail(probe->errors, text, sizeof text))) text[0] = '\0';
    const char *line = "";
    for (char *rest = text, *next; (next = strsep(&rest, "\r\n")) != NULL;)
        if (*next != '\0') line = next;
    escape_text(line, shown, sizeof shown);
    *out = is_killed       ? arena_printf(arena, "no answer within %.0f s", PROBE_SECONDS)
           : *line != '\0' ? arena_strdup(arena, shown)
                           : arena_printf(arena, "exit code %d", code);
    return *out == NULL ? OUT_OF_MEMORY("hosts") : OK;
}

static Status probe_await(const HostProbe *probe, double deadline, Arena *arena,
                          SupervisedHost *host) {
    bool is_killed = false;
    int code = 0;
    while (probe->pid > 0 && !process_has_ended(probe->pid, &code)) {
        if (!is_killed && clock_seconds() > deadline) {
            is_killed = true;
            kill(-probe->pid, SIGKILL);
        }
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    host->answers = code == 0;
    host->reason = NULL;
    return host->answers ? OK : reason_find(probe, code, is_killed, arena, &host->reason);
}

/* Leaves no process behind, also if one cannot be started. */
static Status probe_all(HostList *hosts, HostProbe *probes, Arena *arena) {
    Status status = OK;
    for (int i = 0; i < hosts->count && !failed(status); i++) {
        if (!is_this_host(hosts->items[i].name))
            status = probe_start(&probes[i], hosts->items[i].name, arena);
    }
    double deadline = clock_seconds() + PROBE_SECONDS;
    for (int i = 0; i < hosts->count; i++) {
        Status awaited = probe_await(&probes[i], deadline, arena, &hosts->items[i]);
        if (!failed(status)) status = awaited;
    }
    return status;
}

Status hosts_probe(HostList *hosts, Arena *arena) {
    HostProbe *probes = arena_alloc(arena, (size_t)hosts->count * sizeof *probes);
    if (probes == NULL) return OUT_OF_MEMORY("hosts");
    memset(probes, 0, (size_t)hosts->count * sizeof *probes);
    Status status = probe_all(hosts, probes, arena);
    for (int i = 0; i < hosts->count; i++)
        if (probes[i].errors[0] != '\0') unlink(probes[i].errors);
    return status;
}

int64_t hosts_slots(const HostList *hosts) {
    int64_t slots = 0;
    for (int i = 0; i < hosts->count; i++)
        slots += hosts->items[i].answers ? hosts->items[i].slots : 0;
    return slots;
}

int64_t hosts_slots_here(const HostList *hosts) {
    int64_t slots = 0;
    for (int i = 0; i < hosts->count; i++)
        slots += is_this_host(hosts->items[i].name) ? hosts->items[i].slots : 0;
    return slots;
}

bool hosts_are_elsewhere(const HostList *hosts) {
    for (int i = 0; i < hosts->count; i++) {
        if (hosts->items[i].answers && !is_this_host(hosts->items[i].name)) return true;
    }
    return false;
}

Status hosts_write(const HostList *hosts, const char *path) {
    Arena arena = {0};
    const char *text = "";
    for (int i = 0; i < hosts->count && text != NULL; i++) {
        const SupervisedHost *host = &hosts->items[i];
        if (host->answers)
            text =
                arena_printf(&arena, "%s%s slots=%lld\n", text, host->name, (long long)host->slots);
    }
    Status status = text == NULL ? OUT_OF_MEMORY("hosts") : text_file_replace(path, text);
    arena_free(&arena);
    return status;
}
