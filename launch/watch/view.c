#include "launch/watch/view.h"

#include "launch/base/terminal.h"
#include "launch/study/report/text.h"
#include "launch/watch/panel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    NARROWEST = 38, /* columns of a panel beside others */
    LEAST_COLUMNS = 16,
    GAP = 2,
    CHART_ROWS = 10, /* if the view may have any height */
    LEAST_CHART_ROWS = 3,
    MOST_CHART_ROWS = 24
};

bool view_has_unicode(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    const char *locale = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (locale == NULL || *locale == '\0') locale = getenv(names[i]);
    }
    return locale != NULL && (strcasestr(locale, "utf-8") != NULL || strcasestr(locale, "utf8"));
}

static int panels_beside(int n, int columns) {
    int fit = (columns + GAP) / (NARROWEST + GAP);
    return fit < 1 ? 1 : fit < n ? fit : n;
}

static int chart_rows(int n, int beside, int rows) {
    int high = (n + beside - 1) / beside;
    if (rows == 0) return CHART_ROWS;
    int left = (rows - 1) / high - PANEL_TEXT_LINES - 1; /* a blank line below */
    if (left < LEAST_CHART_ROWS) return 0;
    return left < MOST_CHART_ROWS ? left : MOST_CHART_ROWS;
}

static bool steps_differ(const WatchedRun *runs, int n) {
    for (int i = 1; i < n; i++) {
        if (runs[i].tokens_per_step != runs[0].tokens_per_step) return true;
    }
    return false;
}

static void scale_last(PanelScale *scale, const WatchedRun *runs, int n) {
    scale->last = 1;
    for (int i = 0; i < n; i++) {
        const RunRecords *records = &runs[i].follower.records;
        for (size_t k = 0; k < records->count; k++)
            scale->last = fmax(scale->last, panel_x(scale, &records->items[k]));
    }
}

static Status scale_loss(PanelScale *scale, const WatchedRun *runs, int n, Arena *arena) {
    ValueRange range = {0};
    int parts = 2 * panel_curve_columns(scale);
    for (int i = 0; i < n; i++) {
        const RunRecords *records = &runs[i].follower.records;
        double *means;
        TRY(panel_means(scale, records, offsetof(RunRecord, train_loss), parts, arena, &means));
        for (int k = 0; k < parts; k++) range_add(&range, means[k]);
        for (size_t k = 0; k < records->count; k++) range_add(&range, records->items[k].val_loss);
    }
    axis_fit(&scale->loss, &range, true, 0.02);
    return OK;
}

/* Writes panels beside each other: line by line, each padded to its width. */
static void row_write(char **panels, int n, int columns, FILE *file) {
    bool any = true;
    while (any) {
        int blank = 0; /* columns that are due before the next character */
        any = false;
        for (int i = 0; i < n; i++) any |= *panels[i] != '\0';
        for (int i = 0; i < n && any; i++) {
            size_t bytes = strcspn(panels[i], "\n");
            char *line = panels[i];
            panels[i] += bytes + (line[bytes] == '\n');
            while (bytes > 0 && line[bytes - 1] == ' ') bytes--;
            if (bytes > 0) {
                fprintf(file, "%*s%.*s", blank, "", (int)bytes, line);
                blank = 0;
            }
            line[bytes] = '\0';
            blank += columns + GAP - terminal_width_of(line);
        }
        fputc('\n', file);
    }
}

static Status panels_write(const WatchedRun *runs, int n, const PanelScale *scale, Arena *arena,
                           FILE *file) {
    char **panels = arena_alloc(arena, (size_t)n * sizeof *panels);
    if (panels == NULL) return OUT_OF_MEMORY("a view");
    for (int i = 0; i < n; i++) {
        Text text;
        TRY(text_open(&text));
        Status status = panel_write(&runs[i], scale, arena, text.file);
        if (fflush(text.file) == 0) panels[i] = arena_strdup(arena, text.bytes);
        text_drop(&text);
        TRY(status);
        if (panels[i] == NULL) return OUT_OF_MEMORY("a view");
    }
    row_write(panels, n, scale->columns, file);
    return OK;
}

static Status view_write(const WatchedRun *runs, int n, const ViewSize *size, Arena *arena,
                         FILE *file) {
    int columns = size->columns > LEAST_COLUMNS ? size->columns : LEAST_COLUMNS,
        beside = panels_beside(n, columns);
    PanelScale scale = {.columns = (columns + GAP) / beside - GAP,
                        .chart_rows = chart_rows(n, beside, size->rows),
                        .unicode = size->unicode,
                        .by_tokens = steps_differ(runs, n)};
    scale_last(&scale, runs, n);
    TRY(scale_loss(&scale, runs, n, arena));
    for (int i = 0; i < n; i += beside)
        TRY(panels_write(runs + i, n - i < beside ? n - i : beside, &scale, arena, file));
    return OK;
}

Status view_text(const WatchedRun *runs, int n, const ViewSize *size, char **text) {
    Arena arena = {0};
    size_t bytes;
    *text = NULL;
    FILE *file = open_memstream(text, &bytes);
    if (file == NULL) return OUT_OF_MEMORY("a view");
    Status status = view_write(runs, n, size, &arena, file);
    arena_free(&arena);
    if (fclose(file) != 0 && !failed(status)) status = OUT_OF_MEMORY("a view");
    return status;
}
