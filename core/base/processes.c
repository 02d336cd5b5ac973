#include "core/base/processes.h"

#include "core/base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Visit {
    bool (*visit)(void *context, const ProcessInfo *process);
    void *context;
} Visit;

size_t process_read(pid_t pid, const char *name, char *out, size_t capacity) {
    char path[64];
    size_t got = 0;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = file_open(path, O_RDONLY, 0);
    for (ssize_t n;
         fd >= 0 && got < capacity - 1 && (n = read(fd, out + got, capacity - 1 - got)) > 0;)
        got += (size_t)n;
    file_close(fd);
    out[got] = '\0';
    return got;
}

static bool entry_look(void *context, const char *name) {
    const Visit *visit = context;
    char stat[512];
    if (name[0] < '0' || name[0] > '9') return true;
    ProcessInfo process = {.pid = atoi(name)};
    if (process_read(process.pid, "stat", stat, sizeof stat) == 0) return true;
    const char *behind_name = strrchr(stat, ')');
    if (behind_name == NULL) return true;
    if (sscanf(behind_name, ") %c %d", &process.state, &process.parent) != 2) return true;
    return visit->visit(visit->context, &process);
}

Status processes_visit(bool (*visit)(void *context, const ProcessInfo *process), void *context) {
    Visit with = {visit, context};
    return file_list("/proc", entry_look, &with);
}
