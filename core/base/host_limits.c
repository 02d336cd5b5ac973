#include "core/base/host_limits.h"

#include "core/base/file.h"

#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MOST_BYTES = 4 << 20, NAME_BYTES = 64 };

/* A control group of this process, or an ancestor of one. */
typedef struct ControlGroup {
    const char *directory;
    bool is_v2, is_ancestor;
} ControlGroup;

typedef void (*GroupFn)(const ControlGroup *group, void *result);

/* The content of a file of the group. The caller frees it; NULL if it cannot be read. */
static char *text_of(const char *directory, const char *name) {
    char path[PATH_MAX], *text = NULL;
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path) return NULL;
    return failed(file_read_all(path, MOST_BYTES, &text, NULL)) ? NULL : text;
}

/* Reads a number. False also for `max` and -1, which mean no limit. */
static bool number_of(const ControlGroup *group, const char *name, uint64_t *out) {
    char *text = text_of(group->directory, name);
    bool is_number = text != NULL && *text != '-' && sscanf(text, "%" SCNu64, out) == 1;
    free(text);
    return is_number;
}

/* The value of `key` in a file of lines `KEY NUMBER` or `KEY: NUMBER kB`. */
static uint64_t value_in(const char *text, const char *key) {
    size_t bytes = strlen(key);
    for (const char *line = text; line != NULL && *line != '\0'; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, bytes) == 0 && line[bytes] == ' ')
            return strtoull(line + bytes, NULL, 10);
    }
    return 0;
}

/* ---- the groups ------------------------------------------------------------------------------ */

static bool has_word(const char *list, const char *word) {
    size_t bytes = strlen(word);
    for (; *list != '\0';
         list += list[strcspn(list, ",")] == ',' ? strcspn(list, ",") + 1 : strcspn(list, ",")) {
        if (strcspn(list, ",") == bytes && memcmp(list, word, bytes) == 0) return true;
    }
    return false;
}

/* mountinfo writes blanks as \040, and so on. */
static void unescape(char *text) {
    char *to = text;
    for (; *text != '\0'; text++) {
        bool is_octal = *text == '\\' && strspn(text + 1, "01234567") >= 3;
        *to++ =
            is_octal ? (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0')) : *text;
        if (is_octal) text += 3;
    }
    *to = '\0';
}

typedef struct Mount {
    char inside[PATH_MAX],
        point[PATH_MAX]; /* the group at the root of the mount, and the mount point */
    bool is_v2;
} Mount;

/* Parses a line of mountinfo; whether it mounts the groups of `controller`. */
static bool mount_read(const char *line, const char *controller, Mount *out) {
    char type[NAME_BYTES], options[1024];
    const char *rest = strstr(line, " - ");
    if (rest == NULL || sscanf(rest, " - %63s %*s %1023s", type, options) != 2) return false;
    out->is_v2 = strcmp(type, "cgroup2") == 0;
    if (!out->is_v2 && (strcmp(type, "cgroup") != 0 || !has_word(options, controller)))
        return false;
    if (sscanf(line, "%*s %*s %*s %4095s %4095s", out->inside, out->point) != 2) return false;
    unescape(out->inside);
    unescape(out->point);
    return true;
}

/* The process's group in /proc/self/cgroup: lines `ID:CONTROLLERS:PATH`, without controllers for
 * version 2. */
static bool path_find(const char *text, const Mount *mount, const char *controller,
                      char path[PATH_MAX]) {
    for (const char *line = text; *line != '\0';
         line += strcspn(line, "\n"), line += *line == '\n') {
        char names[1024] = "";
        int at = 0;
        if (sscanf(line, "%*[0-9]:%n%1023[^:\n]", &at, names) < 0 || at == 0) continue;
        const char *found = line + at + strlen(names);
        bool is_it = mount->is_v2 ? names[0] == '\0' : has_word(names, controller);
        if (!is_it || *found != ':') continue;
        snprintf(path, PATH_MAX, "%.*s", (int)strcspn(found + 1, "\n"), found + 1);
        return true;
    }
    return false;
}

/* The path of the group below the mount point. A group outside the mounted part is not visible;
 * then only the visible part limits. */
static const char *path_inside(const Mount *mount, const char *path) {
    size_t bytes = strcmp(mount->inside, "/") == 0 ? 0 : strlen(mount->inside);
    bool is_inside =
        strncmp(path, mount->inside, bytes) == 0 && (path[bytes] == '/' || path[bytes] == '\0');
    return is_inside && strstr(path, "/..") == NULL ? path + bytes : "";
}

static void mount_visit(const char *root, const Mount *mount, const char *path, GroupFn visit,
                        void *result) {
    char directory[2 * PATH_MAX];
    size_t top = (size_t)snprintf(directory, sizeof directory, "%s%s", root, mount->point);
    if (top >= sizeof directory) return;
    snprintf(directory + top, sizeof directory - top, "%s", path_inside(mount, path));
    for (ControlGroup group = {directory, mount->is_v2, false};; group.is_ancestor = true) {
        visit(&group, result);
        char *slash = strrchr(directory + top, '/');
        if (slash == NULL) return;
        *slash = '\0';
    }
}

/* Calls visit for each group that may limit this process. */
static void groups_visit(const char *root, const char *controller, GroupFn visit, void *result) {
    char proc[PATH_MAX], path[PATH_MAX];
    Mount mount;
    snprintf(proc, sizeof proc, "%s/proc/self", root);
    char *mounts = text_of(proc, "mountinfo"), *groups = text_of(proc, "cgroup"), *rest = mounts;
    while (groups != NULL && rest != NULL) {
        const char *line = strsep(&rest, "\n");
        bool is_one =
            mount_read(line, controller, &mount) && path_find(groups, &mount, controller, path);
        if (is_one) mount_visit(root, &mount, path, visit, result);
    }
    free(mounts);
    free(groups);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void take_least(size_t *out, uint64_t value) {
    if (value < *out) *out = (size_t)value;
}

static void limit_apply(HostMemory *memory, uint64_t limit, uint64_t used) {
    take_least(&memory->total_bytes, limit);
    take_least(&memory->free_bytes, used < limit ? limit - used : 0);
}

/* File pages can be reclaimed, except those used as shared memory. The counts of version 1 that
 * exclude children are not used. */
static uint64_t reclaimable(const ControlGroup *group) {
    char *text = text_of(group->directory, "memory.stat");
    uint64_t bytes =
        group->is_v2 ? value_in(text, "inactive_file") + value_in(text, "active_file") +
                           value_in(text, "slab_reclaimable")
                     : value_in(text, "total_inactive_file") + value_in(text, "total_active_file");
    free(text);
    return bytes;
}

static void memory_visit(const ControlGroup *group, void *result) {
    uint64_t limit, high, used = 0, hierarchy = 1;
    if (!group->is_v2) number_of(group, "memory.use_hierarchy", &hierarchy);
    if (group->is_ancestor && hierarchy == 0) return;
    if (!number_of(group, group->is_v2 ? "memory.max" : "memory.limit_in_bytes", &limit))
        limit = UINT64_MAX;
    if (group->is_v2 && number_of(group, "memory.high", &high) && high < limit) limit = high;
    if (limit == UINT64_MAX) return;
    if (!number_of(group, group->is_v2 ? "memory.current" : "memory.usage_in_bytes", &used))
        used = 0;
    uint64_t back = reclaimable(group);
    limit_apply(result, limit, used > back ? used - back : 0);
}

HostMemory host_memory(const char *root) {
    char proc[PATH_MAX];
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    HostMemory memory = {(size_t)sysconf(_SC_AVPHYS_PAGES) * page,
                         (size_t)sysconf(_SC_PHYS_PAGES) * page};
    snprintf(proc, sizeof proc, "%s/proc", root);
    char *text = text_of(proc, "meminfo");
    uint64_t total = value_in(text, "MemTotal:"), available = value_in(text, "MemAvailable:");
    if (total > 0) memory.total_bytes = (size_t)total * 1024;
    if (available > 0) memory.free_bytes = (size_t)available * 1024;
    free(text);
    groups_visit(root, "memory", memory_visit, &memory);
    return memory;
}

static void resource_apply(int resource, size_t used, HostMemory *memory) {
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return;
    limit_apply(memory, limit.rlim_cur, used);
}

HostMemory host_memory_own(const char *root) {
    char proc[PATH_MAX];
    size_t mapped = 0, data = 0, page = (size_t)sysconf(_SC_PAGESIZE);
    HostMemory memory = {SIZE_MAX, SIZE_MAX};
    snprintf(proc, sizeof proc, "%s/proc/self", root);
    char *text = text_of(proc, "statm");
    if (text != NULL) sscanf(text, "%zu %*u %*u %*u %*u %zu", &mapped, &data);
    free(text);
    resource_apply(RLIMIT_AS, mapped * page, &memory);
    resource_apply(RLIMIT_DATA, data * page, &memory);
    return memory;
}

/* ---- cores ----------------------------------------------------------------------------------- */

/* Version 2 has "QUOTA PERIOD", or "max PERIOD". */
static void cores_visit(const ControlGroup *group, void *result) {
    uint64_t quota = 0, period = 0;
    int *cores = result;
    char *text = group->is_v2 ? text_of(group->directory, "cpu.max") : NULL;
    if (text != NULL && sscanf(text, "%" SCNu64 " %" SCNu64, &quota, &period) != 2) quota = 0;
    free(text);
    if (!group->is_v2 && (!number_of(group, "cpu.cfs_quota_us", &quota) ||
                          !number_of(group, "cpu.cfs_period_us", &period))) {
        return;
    }
    if (quota == 0 || period == 0) return;
    uint64_t whole = (quota + period - 1) / period;
    if (whole < (uint64_t)*cores) *cores = (int)whole;
}

int host_cores(const char *root) {
    int cores = INT_MAX;
    groups_visit(root, "cpu", cores_visit, &cores);
    return cores;
}
