#include "launch/watch/run_page.h"

#include "core/base/file.h"
#include "launch/base/output.h"
#include "launch/study/report/page.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The runs as points of a study without swept keys: each is a series of its own. */
static Status results_of_runs(const WatchedRun *runs, int n, Results *s) {
    *s = (Results){.directory = "", .metric = "val/loss", .reduce = "best", .budget = ""};
    s->name = n == 1 ? runs[0].point.name : "runs";
    s->n_points = (size_t)n;
    s->n_series = n;
    s->points = arena_alloc(&s->arena, (size_t)n * sizeof *s->points);
    s->series_names = arena_alloc(&s->arena, (size_t)n * sizeof *s->series_names);
    if (s->points == NULL || s->series_names == NULL) return OUT_OF_MEMORY("a page");
    for (int i = 0; i < n; i++) {
        s->series_names[i] = n == 1 ? "" : runs[i].point.name;
        s->points[i] = (Point){.name = runs[i].point.name,
                               .directory = runs[i].point.directory,
                               .state = runs[i].state,
                               .message = runs[i].point.status.message,
                               .seed = "",
                               .series = s->series_names[i],
                               .series_index = i,
                               .x = NAN,
                               .attempts = NAN};
        TRY(run_read(s, &s->points[i]));
    }
    return OK;
}

static Status charts_make(Results *s, const char *folder, Charts *charts, const char **missing) {
    *missing = "";
    TRY(charts_open(charts));
    Status status = charts_of_runs(s, charts);
    if (failed(status)) {
        text_drop(&charts->script);
        return status;
    }
    TRY(text_write(&charts->script, folder, "charts.gnuplot"));
    return charts->count == 0 ? OK : charts_draw(s, charts, folder, missing);
}

static Status page_make(const WatchedRun *runs, int n, int reload_s, const char *folder,
                        const char *path) {
    Results s;
    Charts charts = {0};
    Output output = {0};
    PageParts parts = {.charts = &charts, .reload_s = watched_runs_go_on(runs, n) ? reload_s : 0};
    Status status = results_of_runs(runs, n, &s);
    if (!failed(status)) status = charts_make(&s, folder, &charts, &parts.missing);
    if (!failed(status)) status = output_open_named(path, &output);
    if (!failed(status)) status = page_put(&s, &parts, folder, output.file);
    status = output_finish(&output, status);
    arena_free(&s.arena);
    return status;
}

static bool name_remove(void *folder, const char *name) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", (const char *)folder, name);
    file_remove(path);
    return true;
}

Status run_page_write(const WatchedRun *runs, int n, int reload_s, const char *path) {
    char folder[PATH_MAX];
    const char *temporary = getenv("TMPDIR"), *const starts[] = {"<!DOCTYPE html>", NULL};
    TRY(output_check_named(path, starts, "a page"));
    snprintf(folder, sizeof folder, "%s/hourglass-watch-XXXXXX",
             temporary == NULL || *temporary == '\0' ? "/tmp" : temporary);
    if (mkdtemp(folder) == NULL)
        return ERROR(STATUS_FAILURE, "%s: cannot create the directory: %s", folder,
                     strerror(errno));
    Status status = page_make(runs, n, reload_s, folder, path), ignored;
    StatusRecord first;
    status_keep(status, &first);
    ignored = file_list(folder, name_remove, folder);
    (void)ignored; /* a leftover in the temporary directory */
    rmdir(folder);
    return failed(status) ? status_restore(&first) : status;
}
