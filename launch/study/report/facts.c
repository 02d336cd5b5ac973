#include "launch/study/report/facts.h"

#include "launch/base/text_file.h"
#include "launch/study/report/text.h"

#include <stdio.h>
#include <string.h>

/* Times in this form compare as text. */
static void time_take(Results *s, Facts *f, const char *time) {
    const char *copy = or_empty(arena_strdup(&s->arena, time));
    if (*f->first == '\0' || strcmp(copy, f->first) < 0) f->first = copy;
    if (strcmp(copy, f->last) > 0) f->last = copy;
}

/* "start TIME HOST", "exit CODE TIME" or "stopped CODE TIME". `ended`: the last attempt came to the
 * end of its run or rung. */
static void line_take(Results *s, Facts *f, const char *line, bool *ended, bool *any) {
    char time[32];
    int code;
    if (sscanf(line, "start %31s", time) == 1) {
        f->starts++;
        f->interruptions += *any && !*ended;
        *ended = false;
        *any = true;
        time_take(s, f, time);
    } else if (sscanf(line, "exit %d %31s", &code, time) == 2) {
        *ended = code == 0;
        time_take(s, f, time);
    }
}

static Status run_take(Results *s, Facts *f, const char *directory) {
    const char *path = arena_printf(&s->arena, "%s/attempts.log", directory), *text = NULL;
    bool ended = false, any = false;
    if (path == NULL) return OUT_OF_MEMORY("a report");
    Status status = text_file_read(&s->arena, path, &text);
    if (status.code == STATUS_OUT_OF_MEMORY) return status;
    if (failed(status)) f->unreadable++;
    for (const char *line = text; line != NULL && *line != '\0';) {
        line_take(s, f, line, &ended, &any);
        line = strchr(line, '\n');
        if (line != NULL) line++;
    }
    return OK;
}

/* Candidates that are no points. */
static Status candidates_take(Results *s, Facts *f, const json_t *tuning) {
    size_t i;
    json_t *candidate;
    json_array_foreach(json_object_get(tuning, "candidates"), i, candidate) {
        const char *name = json_string_value(json_object_get(candidate, "name"));
        const json_t *best = json_object_get(tuning, "best");
        if (name == NULL || (json_is_string(best) && strcmp(json_string_value(best), name) == 0))
            continue;
        TRY(run_take(s, f, or_empty(arena_printf(&s->arena, "%s/%s", s->directory, name))));
    }
    return OK;
}

Status facts_read(Results *s, Facts *out) {
    size_t i;
    json_t *tuning;
    *out = (Facts){.first = "", .last = ""};
    for (size_t k = 0; k < s->n_points; k++) TRY(run_take(s, out, s->points[k].directory));
    json_array_foreach(json_object_get(s->root, "tuning"), i, tuning)
        TRY(candidates_take(s, out, tuning));
    return OK;
}
