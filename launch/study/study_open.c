/* Opens a study: loads its config, expands the sweep and loads the config of each point. */
#include "launch/study/study.h"

#include "core/base/file.h"
#include "launch/config/config_load.h"
#include "launch/config/diagnostic.h"
#include "launch/config/schema.h"
#include "launch/config/sweep_points.h"
#include "launch/config/value.h"
#include "launch/study/study_match.h"
#include "launch/study/trunk.h"
#include "launch/study/tuning.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of the unresolved configs of all points together. */
enum { MOST_NODES = 10000000 };

static size_t key_bytes(const char *override) { return strcspn(override, "="); }

/* Whether one key equals the other or is a group that contains it. */
static bool overlap(const char *a, const char *b) {
    size_t bytes_a = key_bytes(a), bytes_b = key_bytes(b),
           least = bytes_a < bytes_b ? bytes_a : bytes_b;
    if (strncmp(a, b, least) != 0) return false;
    return bytes_a == bytes_b || (bytes_a > least ? a : b)[least] == '.';
}

/* Distinct keys, as strings of the schema. */
typedef struct Keys {
    Names seen;
    const char **items;
    size_t count;
} Keys;

static Status key_add(Study *study, Keys *keys, const char *override) {
    if (names_find(&keys->seen, override, key_bytes(override)) != NULL) return OK;
    const char *key = arena_printf(&study->arena, "%.*s", (int)key_bytes(override), override);
    if (key == NULL || names_add(&keys->seen, &study->arena, key) == NULL)
        return OUT_OF_MEMORY("the study");
    keys->items[keys->count++] = key;
    return OK;
}

/* The keys that any point sets. */
static Status swept_keys(Study *study, const SweepPoints *sweep, Keys *keys) {
    for (int i = 0; i < sweep->count; i++) {
        for (int k = 0; k < sweep->points[i].n_overrides; k++)
            TRY(key_add(study, keys, sweep->points[i].overrides[k]));
    }
    for (int i = 0; i < sweep->n_trunks; i++) {
        const Branch *b = &sweep->trunks[i].branch;
        for (int k = 0; k < b->n_axes; k++) TRY(key_add(study, keys, b->axes[k].key));
    }
    return OK;
}

/* Refuses a command-line override of a swept key, which would contradict the names of the
 * points. */
static Status check_overrides(Study *study, const SweepPoints *sweep, int n_overrides,
                              char **overrides) {
    Keys keys = {.items = arena_alloc(&study->arena, schema_count * sizeof *keys.items)};
    if (keys.items == NULL) return OUT_OF_MEMORY("the study");
    TRY(swept_keys(study, sweep, &keys));
    for (int i = 0; i < n_overrides; i++) {
        for (size_t k = 0; k < keys.count; k++) {
            if (!overlap(overrides[i], keys.items[k])) continue;
            return ERROR(STATUS_USAGE, "%s: the study sweeps %s; change its 'sweep' instead",
                         overrides[i], keys.items[k]);
        }
    }
    return OK;
}

char *study_override(Arena *arena, const char *key, const char *value) {
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    if (file == NULL) return NULL;
    fprintf(file, "%s=", key);
    value_write_string(value, true, file);
    char *copy = fclose(file) == 0 ? arena_strdup(arena, text) : NULL;
    free(text);
    return copy;
}

/* Reports an error of a point at the position of the sweep, with the name of the point. */
static Status point_error(const Study *study, const StudyPoint *point) {
    char text[1024];
    const char *message = status_message(), *what = strstr(message, "error: ");
    snprintf(text, sizeof text, "%s", what == NULL ? message : what + 7);
    text[strcspn(text, "\n")] = '\0';
    return PLACE_ERROR(study->config->sweep->place, "point %s: %s", point->name, text);
}

/* defaults < extends < the file < the command line and the point, which have no common key */
static Status point_load(Study *study, StudyPoint *point, const ConfigBase *base,
                         const SweepPoint *swept) {
    int n = swept->n_overrides;
    char **all = arena_alloc(&study->arena, (size_t)(n + 2) * sizeof *all);
    if (all == NULL) return OUT_OF_MEMORY("the study");
    for (int i = 0; i < n; i++) all[i] = swept->overrides[i];
    all[n++] = study_override(&study->arena, "name", point->name);
    all[n++] = study_override(&study->arena, "output", point->directory);
    if (all[n - 2] == NULL || all[n - 1] == NULL) return OUT_OF_MEMORY("the study");
    Status status = config_base_make(base, n, all, &point->config);
    return status.code == STATUS_CONFIG ? point_error(study, point) : status;
}

static Status point_keys(Study *study, StudyPoint *point, const SweepPoint *swept) {
    const char **keys = arena_alloc(&study->arena, (size_t)(swept->n_keys + 1) * sizeof *keys);
    point->keys = keys;
    if (keys == NULL) return OUT_OF_MEMORY("the study");
    for (int i = 0; i < swept->n_keys; i++) {
        keys[i] = arena_printf(&study->arena, "%.*s", (int)key_bytes(swept->overrides[i]),
                               swept->overrides[i]);
        if (keys[i] == NULL) return OUT_OF_MEMORY("the study");
    }
    return OK;
}

/* The file may have been written by other rules, so the settings in the directory take
 * precedence. */
static Status point_read(Study *study, StudyPoint *point, const SweepPoint *swept) {
    char frozen[PATH_MAX];
    bool is_there = false;
    point->stem = swept->stem;
    point->combination = swept->combination;
    point->tuned = swept->tuned;
    point->share = 1;
    point->is_result = swept->combination < 0;
    TRY(study_point_place(study, point, swept->name));
    TRY(point_keys(study, point, swept));
    Status status = point_load(study, point, study->base, swept);
    if (status.code != STATUS_CONFIG || !study->is_made) return status;
    StatusRecord first;
    status_keep(status, &first);
    snprintf(frozen, sizeof frozen, "%s/config.yaml", point->directory);
    TRY(file_look(frozen, NULL, &is_there));
    return is_there ? config_load(frozen, 0, NULL, &point->config) : status_restore(&first);
}

Status study_append(Study *study, const SweepPoint *swept, int seed, int *index) {
    StudyPoint *point = &study->points[ *index = study->count];
    SweepPoint *kept = arena_alloc(&study->arena, sizeof *kept);
    if (kept == NULL) return OUT_OF_MEMORY("the study");
    *kept = *swept;
    TRY(point_read(study, point, kept));
    point->seed = seed;
    point->order = *index;
    study->count++;
    return OK;
}

Status study_settle(Study *study, int first) {
    if (study_exists(study)) TRY(study_match(study, first));
    for (int i = first; i < study->count; i++) point_refresh(&study->points[i]);
    return OK;
}

Status study_add(Study *study, const SweepPoint *swept, int seed, int *index) {
    TRY(study_append(study, swept, seed, index));
    return study_settle(study, *index);
}

/* The points of the sweep, and all that its tunings and trunks may add. */
static int most_points(const SweepPoints *sweep) {
    int count = sweep->count;
    for (int i = 0; i < sweep->n_combinations; i++)
        count += TUNING_ADDS + sweep->combinations[i].n_seeds;
    for (int i = 0; i < sweep->n_trunks; i++)
        count += sweep->trunks[i].branch.n_forks * sweep->trunks[i].branch.count;
    return count;
}

static Status points_load(Study *study, const SweepPoints *sweep) {
    size_t size = config_base_size(study->base);
    study->capacity = most_points(sweep);
    if ((size_t)study->capacity * size > MOST_NODES) {
        return PLACE_ERROR(study->config->sweep->place,
                           "%d points with a config of %zu keys and values are too many; "
                           "reduce either",
                           study->capacity, size);
    }
    study->points = arena_alloc(&study->arena, (size_t)study->capacity * sizeof *study->points);
    if (study->points == NULL) return OUT_OF_MEMORY("the study");
    for (; study->count < sweep->count; study->count++) {
        StudyPoint *point = &study->points[study->count];
        TRY(point_read(study, point, &sweep->points[study->count]));
        bool is_next = study->count > 0 && point->combination >= 0 &&
                       point[-1].combination == point->combination;
        point->order = is_next ? point[-1].order : study->count;
    }
    return study_exists(study) ? study_match(study, 0) : OK;
}

/* Refuses a directory that has been moved, because its runs would write to the old place. */
static Status check_place(const Study *study, const char *given) {
    struct stat here, there;
    bool same = stat(given, &here) == 0 && stat(study->directory, &there) == 0 &&
                here.st_ino == there.st_ino && here.st_dev == there.st_dev;
    if (same) return OK;
    return ERROR(
        STATUS_CONFIG,
        "%s: this study was created as %s; start ./sweep in a directory where that is its path",
        given, study->directory);
}

/* A directory without study.yaml. */
static Status no_study(const char *given) {
    bool is_run;
    TRY(run_directory_has(given, "config.yaml", &is_run));
    return is_run
               ? ERROR(STATUS_CONFIG, "%s: is a run, not a study; ./watch %s --html=FILE shows it",
                       given, given)
               : ERROR(STATUS_CONFIG, "%s: contains no study; run ./sweep CONFIG to create one",
                       given);
}

static Status open_all(Study *study, const char *given, int n_overrides, char **overrides) {
    struct stat info;
    char path[PATH_MAX];
    bool made = study->is_made = stat(given, &info) == 0 && S_ISDIR(info.st_mode);
    snprintf(path, sizeof path, made ? "%s/study.yaml" : "%s", given);
    if (made && access(path, F_OK) != 0) return no_study(given);
    TRY(config_load(path, n_overrides, overrides, &study->config));
    study->directory = study->config->output;
    if (made) TRY(check_place(study, given));
    if (study->config->sweep == NULL) {
        return ERROR(STATUS_CONFIG,
                     "%s: error: it has no 'sweep', so it is not a study; run it with ./train",
                     path);
    }
    TRY(sweep_expand(study->config, &study->sweep));
    TRY(check_overrides(study, study->sweep, n_overrides, overrides));
    TRY(config_base_load(path, n_overrides, overrides, &study->base));
    return points_load(study, study->sweep);
}

Status study_open(const char *path, int n_overrides, char **overrides, Study **out) {
    *out = NULL;
    Study *study = calloc(1, sizeof *study);
    if (study == NULL) return OUT_OF_MEMORY("the study");
    Status status = open_all(study, path, n_overrides, overrides);
    if (!failed(status)) {
        study_refresh(study);
        status = trunks_open(study);
    }
    if (!failed(status)) {
        status = tunings_open(study);
    }
    if (failed(status)) {
        study_close(&study);
        return status;
    }
    *out = study;
    return OK;
}
