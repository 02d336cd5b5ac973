#include "launch/study/report/report.h"

#include "core/base/escape.h"
#include "launch/study/report/answer.h"
#include "launch/study/report/chart.h"
#include "launch/study/report/page.h"
#include "launch/study/report/remarks.h"
#include "launch/study/report/tables.h"
#include "launch/study/report/tuning_table.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

typedef Status (*TableFn)(Results *results, bool raw, ReportTable *out);

static Status table_write(Results *s, TableFn make, const char *directory, const char *name,
                          bool raw) {
    ReportTable table;
    Text text;
    TRY(make(s, raw, &table));
    TRY(text_open(&text));
    if (raw)
        table_csv(text.file, &table);
    else
        table_markdown(text.file, &table);
    return text_write(&text, directory, name);
}

static Status tables_write(Results *s, const char *directory) {
    TRY(table_write(s, table_points, directory, "points.csv", true));
    TRY(table_write(s, table_points, directory, "points.md", false));
    TRY(table_write(s, table_summary, directory, "summary.csv", true));
    return table_write(s, table_summary, directory, "summary.md", false);
}

static Status csv_write(const ReportTable *table, const char *directory, const char *name) {
    Text text;
    TRY(text_open(&text));
    table_csv(text.file, table);
    return text_write(&text, directory, name);
}

static Status branches_write(Results *s, const Branches *branches, const char *directory) {
    ReportTable table;
    if (branches->count == 0) return OK;
    TRY(table_critical(s, branches, true, &table));
    TRY(csv_write(&table, directory, "critical.csv"));
    TRY(table_differences(s, branches, true, &table));
    return csv_write(&table, directory, "branches.csv");
}

static Status tuning_write(Results *s, const Tunings *tunings, const char *directory) {
    ReportTable table;
    if (tunings->count == 0) return OK;
    TRY(table_candidates(s, tunings, true, &table));
    return csv_write(&table, directory, "tuning.csv");
}

static Status charts_write(Results *s, const Tunings *tunings, const Branches *branches,
                           Charts *charts, const char *directory, const char **missing) {
    *missing = "";
    TRY(charts_open(charts));
    Status status = OK;
    TRY_ELSE(status, charts_of_branches(s, branches, charts), failure);
    TRY_ELSE(status, charts_of_marks(s, charts), failure);
    TRY_ELSE(status, charts_of_tunings(s, tunings, charts), failure);
    TRY_ELSE(status, charts_of_curves(s, charts), failure);
    TRY(text_write(&charts->script, directory, "charts.gnuplot"));
    return charts->count == 0 ? OK : charts_draw(s, charts, directory, missing);
failure:
    text_drop(&charts->script);
    return status;
}

static Status answer_write(const Answer *answer, const char *directory) {
    Text text;
    TRY(text_open(&text));
    fprintf(text.file, "%s\n", answer->first);
    for (size_t i = 0; i < answer->count; i++) fprintf(text.file, "%s\n", answer->more[i]);
    return text_write(&text, directory, "answer.txt");
}

/* Creates STUDY/report. It must be a real directory: a link could lead anywhere. */
static Status directory_make(Results *s, const char **out) {
    struct stat info;
    const char *path = *out = arena_printf(&s->arena, "%s/report", s->directory);
    if (path == NULL) return OUT_OF_MEMORY("a report");
    if (mkdir(path, 0777) == 0) return OK;
    if (errno != EEXIST)
        return ERROR(STATUS_FAILURE, "%s: cannot create the directory: %s", path, strerror(errno));
    if (lstat(path, &info) == 0 && S_ISDIR(info.st_mode)) return OK;
    return ERROR(STATUS_FAILURE,
                 "%s: not a directory, but the report needs this name; move it away", path);
}

static Status report_all(Results *s, FILE *messages) {
    const char *directory, *missing;
    Charts charts = {0};
    Answer answer;
    Tunings tunings;
    Branches branches;
    TRY(remarks_find(s));
    TRY(branches_read(s, &branches));
    TRY(answer_find(s, &answer));
    answer_branches(s, &branches, &answer);
    TRY(tunings_read(s, &tunings));
    answer_tunings(s, &tunings, &answer);
    TRY(directory_make(s, &directory));
    TRY(tables_write(s, directory));
    TRY(answer_write(&answer, directory));
    TRY(tuning_write(s, &tunings, directory));
    TRY(branches_write(s, &branches, directory));
    TRY(charts_write(s, &tunings, &branches, &charts, directory, &missing));
    TRY(page_write(s, &(PageParts){&answer, &tunings, &branches, &charts, missing, 0}, directory));
    size_t done = 0;
    for (size_t i = 0; i < s->n_points; i++) done += point_is(&s->points[i], "done");
    escape_say(messages, "report: %s/index.html, with %zu of %zu points done", directory, done,
               s->n_points);
    if (done > 0) escape_say(messages, "report: %s", answer.first);
    if (*missing != 0) fprintf(messages, "report: %s\n", missing);
    return OK;
}

Status report_write(const char *study_directory, FILE *messages) {
    Results *results;
    TRY(results_load(study_directory, &results));
    Status status = report_all(results, messages);
    results_destroy(&results);
    return status;
}
