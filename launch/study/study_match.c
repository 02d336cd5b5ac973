#include "launch/study/study_match.h"

#include "core/base/file.h"
#include "launch/config/config_load.h"
#include "launch/config/field.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* A directory of the study that contains a run. */
typedef struct Made {
    const char *name;
    Config *config; /* as created, or as its run froze it; NULL: not readable */
    bool is_taken;
    struct Made *next;
} Made;

/* Directories with the same compared settings. */
typedef struct Alike {
    Made *made;
    struct Alike *next;
} Alike;

typedef struct Match {
    Study *study;
    int first;        /* of the points that have no directory yet */
    bool *is_settled; /* per point: it has a directory */
    bool *is_swept;   /* per row of the schema: some point sets it */
    Made *made;
    Names by_name;  /* to Made */
    Names given;    /* names that do not come from the sweep */
    Names by_mask;  /* to Names of Alike: see `mask_text` */
    Status listing; /* first failure while listing the directory */
} Match;

static bool is_auto(const Field *field, const Config *config) {
    if (field->type == FIELD_INT_OR_AUTO)
        return *(const int64_t *)((const char *)config + field->offset) == CONFIG_AUTO;
    return strcmp(field->path, "attention.backends") == 0 &&
           config->attention.pick != CONFIG_PICK_ORDER;
}

/* ---- what is there --------------------------------------------------------------------------- */

static Status made_add(Match *m, const char *name) {
    Arena *arena = &m->study->arena;
    char *path = arena_printf(arena, "%s/%s/config.yaml", m->study->directory, name);
    bool is_there = false;
    if (path == NULL) return OUT_OF_MEMORY("the study");
    if (*name == '.') return OK;
    TRY(file_look(path, NULL, &is_there));
    if (!is_there) return OK;
    Made *made = arena_alloc(arena, sizeof *made);
    if (made == NULL || (made->name = arena_strdup(arena, name)) == NULL)
        return OUT_OF_MEMORY("the study");
    void **place = names_add(&m->by_name, arena, made->name);
    if (place == NULL) return OUT_OF_MEMORY("the study");
    Status status = config_load(path, 0, NULL, &made->config);
    if (failed(status) && status.code != STATUS_CONFIG) return status;
    *place = made;
    made->next = m->made;
    m->made = made;
    return OK;
}

static bool made_visit(void *context, const char *name) {
    Match *m = context;
    m->listing = made_add(m, name);
    return !failed(m->listing);
}

static Made *made_find(const Match *m, const char *name) {
    void **place = names_find(&m->by_name, name, strlen(name));
    return place == NULL ? NULL : *place;
}

/* ---- the same settings ----------------------------------------------------------------------- */

/* An `auto` matches its resolved value in a run. */
static Status same_value(const Field *field, const Config *made, const Config *now, bool *same) {
    *same = true;
    if (is_auto(field, now)) return OK;
    char *before = field_text(field, made), *after = field_text(field, now);
    Status status = before == NULL || after == NULL ? OUT_OF_MEMORY("the study") : OK;
    if (!failed(status)) *same = strcmp(before, after) == 0;
    free(before);
    free(after);
    return status;
}

/* Whether the point sets the values for which the directory of its name was created. study_claim
 * reports a config that cannot be read. */
static Status same_settings(const StudyPoint *point, const Made *made, bool *same) {
    *same = true;
    if (made->config == NULL) return OK;
    for (const char *const *key = point->keys; *key != NULL && *same; key++) {
        TRY(same_value(schema_find(*key), made->config, point->config, same));
    }
    return OK;
}

static bool counts(const Match *m, size_t row) {
    return m->is_swept[row] || schema[row].resume == RESUME_MUST_MATCH;
}

/* All settings that affect the numbers and all swept keys, except those that are `auto` in
 * `now`. */
static Status identity_of(const Match *m, const Config *config, const Config *now, char **out) {
    size_t bytes;
    FILE *file = open_memstream(out, &bytes);
    if (file == NULL) return OUT_OF_MEMORY("the study");
    for (size_t i = 0; i < schema_count; i++) {
        if (!counts(m, i) || is_auto(&schema[i], now)) continue;
        fprintf(file, "%s=", schema[i].path);
        field_write(&schema[i], config, file);
        fputc('\n', file);
    }
    return fclose(file) == 0 ? OK : OUT_OF_MEMORY("the study");
}

/* The keys that are `auto`; look-ups of directories ignore them. */
static const char *mask_text(Match *m, const Config *now) {
    const char *text = "";
    for (size_t i = 0; i < schema_count && text != NULL; i++) {
        if (counts(m, i) && is_auto(&schema[i], now)) {
            text = arena_printf(&m->study->arena, "%s %s", text, schema[i].path);
        }
    }
    return text;
}

static Status alike_add(Match *m, Names *names, Made *made, const Config *now) {
    Arena *arena = &m->study->arena;
    char *text = NULL;
    Status status = identity_of(m, made->config, now, &text);
    const char *copy = failed(status) ? NULL : arena_strdup(arena, text);
    Alike *alike = arena_alloc(arena, sizeof *alike);
    void **place = copy == NULL || alike == NULL ? NULL : names_add(names, arena, copy);
    free(text);
    TRY(status);
    if (place == NULL) return OUT_OF_MEMORY("the study");
    *alike = (Alike){made, *place};
    *place = alike;
    return OK;
}

/* Whether a directory is in its original place. A copy, or one that was moved away for a restart,
 * names another place. */
static bool is_at_home(const Match *m, const Made *made) {
    size_t bytes = strlen(m->study->directory);
    const char *output = made->config == NULL ? "" : made->config->output;
    return strncmp(output, m->study->directory, bytes) == 0 && output[bytes] == '/' &&
           strcmp(output + bytes + 1, made->name) == 0;
}

/* The unassigned directories, by their settings without the `auto` keys of `now`. */
static Status names_of(Match *m, const Config *now, const Names **out) {
    Arena *arena = &m->study->arena;
    const char *mask = mask_text(m, now);
    void **place = mask == NULL ? NULL : names_add(&m->by_mask, arena, mask);
    if (place == NULL) return OUT_OF_MEMORY("the study");
    if (*place == NULL) {
        Names *names = *place = arena_alloc(arena, sizeof *names);
        if (names == NULL) return OUT_OF_MEMORY("the study");
        for (Made *made = m->made; made != NULL; made = made->next) {
            if (!made->is_taken && is_at_home(m, made)) TRY(alike_add(m, names, made, now));
        }
    }
    *out = *place;
    return OK;
}

/* ---- the three steps ------------------------------------------------------------------------- */

static Status settle(Match *m, int i, Made *made) {
    StudyPoint *point = &m->study->points[i];
    made->is_taken = m->is_settled[i] = true;
    if (strcmp(point->name, made->name) != 0) TRY(study_point_rename(m->study, point, made->name));
    if (!m->study->is_made || made->config == NULL) return OK;
    config_destroy(&point->config);
    point->config = made->config;
    made->config = NULL;
    return OK;
}

static Status match_by_name(Match *m, int i) {
    const StudyPoint *point = &m->study->points[i];
    Made *made = made_find(m, point->name);
    bool same;
    if (made == NULL) return OK;
    TRY(same_settings(point, made, &same));
    return same ? settle(m, i, made) : OK;
}

static Status match_by_settings(Match *m, int i) {
    const StudyPoint *point = &m->study->points[i];
    const Names *names = NULL;
    char *identity = NULL;
    if (m->is_settled[i]) return OK;
    TRY(names_of(m, point->config, &names));
    TRY(identity_of(m, point->config, point->config, &identity));
    void **place = names_find(names, identity, strlen(identity));
    free(identity);
    for (Alike *alike = place == NULL ? NULL : *place; alike != NULL; alike = alike->next) {
        if (!alike->made->is_taken) return settle(m, i, alike->made);
    }
    return OK;
}

static bool is_a_points(const Match *m, const char *name) {
    size_t bytes = strlen(name);
    return names_find(&m->study->sweep->names, name, bytes) != NULL ||
           names_find(&m->given, name, bytes) != NULL;
}

/* A name that no directory and no other point has. */
static Status free_name(const Match *m, int i, const char **name) {
    *name = m->study->points[i].name;
    bool is_own = true;
    for (int number = 2; made_find(m, *name) != NULL || (!is_own && is_a_points(m, *name));
         number++) {
        *name = arena_printf(&m->study->arena, "%s_%d", m->study->points[i].stem, number);
        if (*name == NULL) return OUT_OF_MEMORY("the study");
        is_own = false;
    }
    return OK;
}

static Status match_anew(Match *m, int i) {
    StudyPoint *point = &m->study->points[i];
    const char *name;
    if (m->is_settled[i]) return OK;
    TRY(free_name(m, i, &name));
    if (strcmp(name, point->name) == 0) return OK;
    void **place = names_add(&m->given, &m->study->arena, name);
    if (place == NULL) return OUT_OF_MEMORY("the study");
    *place = m;
    return study_point_rename(m->study, point, name);
}

static Status former_collect(Match *m) {
    size_t count = 1;
    for (const Made *made = m->made; made != NULL; made = made->next) count++;
    m->study->former = arena_alloc(&m->study->arena, count * sizeof *m->study->former);
    if (m->study->former == NULL) return OUT_OF_MEMORY("the study");
    m->study->n_former = 0;
    for (const Made *made = m->made; made != NULL; made = made->next) {
        if (!made->is_taken && is_at_home(m, made))
            m->study->former[m->study->n_former++] = made->name;
    }
    return OK;
}

static Status match_all(Match *m) {
    typedef Status (*MatchFn)(Match * m, int i);
    static const MatchFn steps[] = {match_by_name, match_by_settings, match_anew};
    TRY(file_list(m->study->directory, made_visit, m));
    TRY(m->listing);
    for (int i = 0; i < m->first; i++) {
        Made *made = made_find(m, m->study->points[i].name);
        if (made != NULL) made->is_taken = true;
    }
    for (size_t step = 0; step < sizeof steps / sizeof *steps && m->made != NULL; step++) {
        for (int i = m->first; i < m->study->count; i++) TRY(steps[step](m, i));
    }
    return former_collect(m);
}

Status study_match(Study *study, int first) {
    Match m = {.study = study, .first = first};
    size_t count = (size_t)study->count;
    m.is_settled = arena_alloc(&study->arena, count * sizeof *m.is_settled);
    m.is_swept = arena_alloc(&study->arena, schema_count * sizeof *m.is_swept);
    if (m.is_settled == NULL || m.is_swept == NULL) return OUT_OF_MEMORY("the study");
    for (int i = 0; i < study->count; i++) {
        for (const char *const *key = study->points[i].keys; *key != NULL; key++) {
            m.is_swept[schema_find(*key) - schema] = true;
        }
    }
    Status status = match_all(&m);
    for (Made *made = m.made; made != NULL; made = made->next) config_destroy(&made->config);
    return status;
}
