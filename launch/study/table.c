#include "launch/study/table.h"

#include "core/base/clock.h"
#include "launch/base/readable.h"
#include "launch/base/terminal.h"

#include <math.h>
#include <string.h>

enum { ROW_BYTES = 640, CELL_BYTES = 24 };

static void number_cell(char cell[CELL_BYTES], double value, const char *format) {
    if (isfinite(value))
        snprintf(cell, CELL_BYTES, format, value);
    else
        snprintf(cell, CELL_BYTES, "%s", "-");
}

static int name_width(const Study *study) {
    size_t width = strlen("point");
    for (int i = 0; i < study->count; i++) {
        size_t bytes = strlen(study->points[i].name);
        if (bytes > width) width = bytes;
    }
    return (int)width;
}

static void head_text(int width, char row[ROW_BYTES]) {
    snprintf(row, ROW_BYTES, "%-*s %-11s %9s %9s %9s %9s %10s", width, "point", "state", "step",
             "loss", "val loss", "tok/s", "time left");
}

static void row_text(const StudyPoint *point, int width, char row[ROW_BYTES]) {
    const PointStatus *s = &point->status;
    char step[CELL_BYTES] = "-", loss[CELL_BYTES], val[CELL_BYTES], rate[CELL_BYTES] = "-",
         left[CELL_BYTES] = "-";
    bool is_open =
        s->state == POINT_RUNNING || s->state == POINT_WAITING || s->state == POINT_INTERRUPTED;
    if (s->step >= 0) snprintf(step, sizeof step, "%lld", (long long)s->step);
    number_cell(loss, s->train_loss, "%.4f");
    number_cell(val, isfinite(s->best_val_loss) ? s->best_val_loss : s->val_loss, "%.4f");
    if (isfinite(s->tok_per_s)) readable_count(s->tok_per_s, rate, sizeof rate);
    if (is_open && isfinite(s->seconds_left)) readable_seconds(s->seconds_left, left, sizeof left);
    snprintf(row, ROW_BYTES, "%-*s %-11s %9s %9s %9s %9s %10s%s%s", width, point->name,
             point_state_name(s->state), step, loss, val, rate, left,
             s->message[0] == '\0' ? "" : "  ", s->message);
}

void table_sum(const Study *study, char *text, size_t bytes) {
    int used =
        snprintf(text, bytes, "%d of %d points done", study_count(study, POINT_DONE), study->count);
    for (int state = 0; state < POINT_STATES; state++) {
        int count = study_count(study, (PointState)state);
        if (state == POINT_DONE || count == 0 || used >= (int)bytes) continue;
        used += snprintf(text + used, bytes - (size_t)used, ", %d %s", count,
                         point_state_name((PointState)state));
    }
}

void table_print(const Study *study, FILE *file) {
    char row[ROW_BYTES];
    int width = name_width(study);
    head_text(width, row);
    fprintf(file, "%s\n", row);
    for (int i = 0; i < study->count; i++) {
        row_text(&study->points[i], width, row);
        fprintf(file, "%s\n", row);
    }
    table_sum(study, row, sizeof row);
    fprintf(file, "%s\n", row);
    study_say_former(study, file);
}

void table_live_open(LiveTable *table) { *table = (LiveTable){.watched = terminal_redraws()}; }

void table_live_clear(LiveTable *table) {
    if (table->lines > 0) printf("\033[%dA\r\033[J", table->lines);
    fflush(stdout);
    table->lines = 0;
}

static void put_line(LiveTable *table, const char *row, int columns) {
    printf("%.*s\n", columns, row);
    table->lines++;
}

/* Puts the most informative points first, so that they remain visible on a short terminal. */
static void put_rows(LiveTable *table, const Study *study, int width, int columns, int capacity) {
    static const PointState order[] = {POINT_RUNNING, POINT_FAILED, POINT_INTERRUPTED,
                                       POINT_WAITING, POINT_OOM,    POINT_DONE};
    bool fits = study->count <= capacity;
    char row[ROW_BYTES];
    int shown = 0;
    for (size_t k = 0; k < (fits ? 1 : sizeof order / sizeof *order); k++) {
        for (int i = 0; i < study->count && shown < capacity; i++) {
            if (!fits && study->points[i].status.state != order[k]) continue;
            row_text(&study->points[i], width, row);
            put_line(table, row, columns);
            shown++;
        }
    }
}

void table_live_draw(LiveTable *table, const Study *study) {
    if (!table->watched || clock_seconds() - table->drawn < 0.5) return;
    table->drawn = clock_seconds();
    TerminalSize size = terminal_size();
    if (size.rows < 6 || size.columns < 20) size = (TerminalSize){.columns = 80, .rows = 24};
    char row[ROW_BYTES];
    int width = name_width(study);
    table_live_clear(table);
    head_text(width, row);
    put_line(table, row, size.columns);
    put_rows(table, study, width, size.columns, size.rows - 4);
    table_sum(study, row, sizeof row);
    put_line(table, row, size.columns);
    fflush(stdout);
}
