#include "launch/study/report/tables.h"

#include "core/base/checked.h"
#include "launch/study/report/labels.h"
#include "launch/study/report/text.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_COLUMNS = 64 };

typedef enum ColumnUnit {
    UNIT_TEXT,
    UNIT_STATE,
    UNIT_MESSAGE,
    UNIT_REMARK,
    UNIT_PLAIN,
    UNIT_COUNT,
    UNIT_BYTES,
    UNIT_SECONDS,
    UNIT_JOULES,
    UNIT_LOSS,
    UNIT_VALUE
} ColumnUnit;

/* A column of the table of points: a member of Point, or (UNIT_VALUE) the value that the sweep set
 * for `name`. */
typedef struct Column {
    const char *name, *title;
    ColumnUnit unit;
    size_t offset;
} Column;

#define AT(member) offsetof(Point, member)

static const Column columns_before[] = {
    {"name", "point", UNIT_TEXT, AT(name)},
    {"state", "state", UNIT_STATE, AT(state)},
    {"batch_size", "batch", UNIT_PLAIN, AT(batch)},
    {"attention", "backend", UNIT_TEXT, AT(attention)},
    {"seed", "seed", UNIT_TEXT, AT(seed)},
};

static const Column columns_after[] = {
    {"best_val_loss", "validation loss", UNIT_LOSS, AT(best_val_loss)},
    {"remark", "remark", UNIT_REMARK, AT(remark)},
    {"steps", "steps", UNIT_PLAIN, AT(steps)},
    {"tokens", "tokens", UNIT_COUNT, AT(tokens)},
    {"train_s", "time", UNIT_SECONDS, AT(train_s)},
    {"tok_per_s", "tokens/s", UNIT_COUNT, AT(tok_per_s)},
    {"joules", "energy", UNIT_JOULES, AT(joules)},
    {"tok_per_joule", "tokens/J", UNIT_PLAIN, AT(tok_per_joule)},
    {"planned_bytes", "planned", UNIT_BYTES, AT(planned_bytes)},
    {"peak_bytes", "peak", UNIT_BYTES, AT(peak_bytes)},
    {"attempts", "attempts", UNIT_PLAIN, AT(attempts)},
    {"message", "message", UNIT_MESSAGE, AT(message)},
};

static const char *number_cell(Results *s, double value, ColumnUnit unit, bool raw) {
    if (raw)
        return number_text(&s->arena, unit == UNIT_LOSS || unit == UNIT_SECONDS ? "%.10g" : "%.15g",
                           value);
    if (unit == UNIT_COUNT) return count_text(&s->arena, value);
    if (unit == UNIT_JOULES) return joules_text(&s->arena, value);
    if (unit == UNIT_BYTES) return bytes_text(&s->arena, value);
    if (unit == UNIT_SECONDS) return seconds_text(&s->arena, value);
    return number_text(&s->arena, unit == UNIT_LOSS ? "%.4f" : "%.6g", value);
}

static const char *point_cell(Results *s, const Point *p, const Column *column, bool raw) {
    const char *member = (const char *)p + column->offset;
    const json_t *value;
    switch (column->unit) {
    case UNIT_TEXT:
    case UNIT_STATE:
    case UNIT_MESSAGE:
    case UNIT_REMARK: return *(const char *const *)(const void *)member;
    case UNIT_VALUE:
        value = json_object_get(p->values, column->name);
        return value == NULL ? "" : value_text(s, value);
    default: return number_cell(s, *(const double *)(const void *)member, column->unit, raw);
    }
}

/* ---- columns --------------------------------------------------------------------------------- */

static void column_add(Column *columns, int *count, Column column) {
    if (*count < MOST_COLUMNS) columns[(*count)++] = column;
}

static bool is_there(const Column *columns, int count, const char *name) {
    for (int i = 0; i < count; i++) {
        if (strcmp(columns[i].name, name) == 0) return true;
    }
    return false;
}

/* The keys that any point sets and that have no fixed column. */
static void columns_of_values(const Results *s, Column *columns, int *count) {
    const char *key;
    json_t *value;
    for (size_t i = 0; i < s->n_points; i++) {
        json_object_foreach(s->points[i].values, key, value) {
            bool known =
                strcmp(key, "data.batch_size") == 0 || strcmp(key, "attention.backends") == 0;
            if (known || is_there(columns, *count, key)) continue;
            column_add(columns, count, (Column){key, key_text(key), UNIT_VALUE, 0});
        }
    }
}

static int columns_of_points(Results *s, Column *columns) {
    int count = 0;
    for (size_t i = 0; i < sizeof columns_before / sizeof *columns_before; i++) {
        column_add(columns, &count, columns_before[i]);
    }
    columns_of_values(s, columns, &count);
    for (size_t i = 0; i < sizeof columns_after / sizeof *columns_after; i++) {
        column_add(columns, &count, columns_after[i]);
        bool best_val_loss = strcmp(s->metric, "val/loss") == 0 && strcmp(s->reduce, "best") == 0;
        if (strcmp(columns_after[i].name, "best_val_loss") != 0 || best_val_loss) continue;
        const char *title =
            or_empty(arena_printf(&s->arena, "%s %s", s->reduce, metric_label(s->metric)));
        column_add(columns, &count, (Column){s->metric, title, UNIT_PLAIN, AT(metric)});
    }
    return count;
}

/* ---- tables ---------------------------------------------------------------------------------- */

Status table_alloc(Results *s, int columns, size_t rows, ReportTable *out) {
    size_t cells, bytes;
    *out = (ReportTable){.columns = columns, .rows = rows};
    if (checked_mul((size_t)columns, rows, &cells) &&
        checked_mul(cells, sizeof *out->cells, &bytes)) {
        out->heads = arena_alloc(&s->arena, (size_t)columns * sizeof *out->heads);
        out->kinds = arena_alloc(&s->arena, (size_t)columns * sizeof *out->kinds);
        out->cells = arena_alloc(&s->arena, bytes);
    }
    bool whole = out->heads != NULL && out->kinds != NULL && out->cells != NULL;
    return whole ? OK : OUT_OF_MEMORY("a table of %zu points", s->n_points);
}

static bool column_is_empty(const ReportTable *t, int column) {
    for (size_t row = 0; row < t->rows; row++) {
        if (*t->cells[row * (size_t)t->columns + (size_t)column] != 0) return false;
    }
    return true;
}

void table_pack(ReportTable *t) {
    int kept[MOST_COLUMNS], count = 0;
    for (int i = 0; i < t->columns; i++) {
        if (!column_is_empty(t, i)) kept[count++] = i;
    }
    for (int i = 0; i < count; i++)
        t->heads[i] = t->heads[kept[i]], t->kinds[i] = t->kinds[kept[i]];
    for (size_t row = 0; row < t->rows; row++) {
        for (int i = 0; i < count; i++) {
            t->cells[row * (size_t)count + (size_t)i] =
                t->cells[row * (size_t)t->columns + (size_t)kept[i]];
        }
    }
    t->columns = count;
}

void table_heads(ReportTable *t, const char *const *heads, int texts) {
    for (int i = 0; i < t->columns; i++) {
        t->heads[i] = heads[i];
        t->kinds[i] = i < texts ? CELL_TEXT : CELL_NUMBER;
    }
}

static CellKind kind_of(ColumnUnit unit) {
    switch (unit) {
    case UNIT_STATE: return CELL_STATE;
    case UNIT_MESSAGE: return CELL_MESSAGE;
    case UNIT_REMARK: return CELL_REMARK;
    case UNIT_TEXT:
    case UNIT_VALUE: return CELL_TEXT;
    default: return CELL_NUMBER;
    }
}

Status table_points(Results *s, bool raw, ReportTable *out) {
    Column columns[MOST_COLUMNS];
    int count = columns_of_points(s, columns);
    TRY(table_alloc(s, count, s->n_points, out));
    for (int i = 0; i < count; i++) {
        out->heads[i] = raw ? columns[i].name : columns[i].title;
        out->kinds[i] = kind_of(columns[i].unit);
        for (size_t row = 0; row < s->n_points; row++) {
            out->cells[row * (size_t)count + (size_t)i] =
                point_cell(s, &s->points[row], &columns[i], raw);
        }
    }
    if (!raw) table_pack(out);
    return OK;
}

static const char *note_of(Results *s, const Mark *mark) {
    if (mark->oom == mark->points) return "does not fit";
    const char *oom =
        mark->oom == 0 ? "" : or_empty(arena_printf(&s->arena, ", %d did not fit", mark->oom));
    const char *done =
        mark->n == mark->points
            ? ""
            : or_empty(arena_printf(&s->arena, "%d of %d done%s", mark->n, mark->points, oom));
    if (mark->remarked == 0) return done;
    return or_empty(arena_printf(&s->arena, "%s%s%d with a remark", done, *done == 0 ? "" : ", ",
                                 mark->remarked));
}

typedef struct SummaryMarks {
    const Mark *metric, *rate, *joules, *peak;
} SummaryMarks;

static double mean_of(const Mark *mark) { return mark->n > 0 ? mark->mean : NAN; }

static void summary_row(Results *s, SummaryMarks marks, bool raw, const char **cells) {
    const Mark *m = marks.metric;
    ColumnUnit unit = metric_is_loss(s->metric) ? UNIT_LOSS : UNIT_PLAIN;
    int least = raw ? 0 : 1; /* for people, one value has no lowest and highest */
    *cells++ = s->series_names[m->series];
    *cells++ = x_text(s, m->x);
    *cells++ = number_cell(s, m->n, UNIT_PLAIN, raw);
    *cells++ = number_cell(s, m->n > 0 ? m->mean : NAN, unit, raw);
    *cells++ = number_cell(s, m->n > 1 ? m->half : NAN, unit, raw);
    *cells++ = number_cell(s, m->n > least ? m->low : NAN, unit, raw);
    *cells++ = number_cell(s, m->n > least ? m->high : NAN, unit, raw);
    *cells++ = number_cell(s, mean_of(marks.rate), UNIT_COUNT, raw);
    *cells++ = number_cell(s, mean_of(marks.joules), UNIT_JOULES, raw);
    *cells++ = number_cell(s, mean_of(marks.peak), UNIT_BYTES, raw);
    *cells = note_of(s, m);
}

Status table_summary(Results *s, bool raw, ReportTable *out) {
    static const char *const heads[] = {"",        "",         "n",      "mean", "± 95%", "lowest",
                                        "highest", "tokens/s", "energy", "peak", "note"};
    static const char *const raw_heads[] = {
        "", "", "n", "mean", "half95", "min", "max", "tok_per_s", "joules", "peak_bytes", "note"};
    enum { COLUMNS = sizeof heads / sizeof *heads };
    Mark *metric, *rate, *joules, *peak;
    size_t rows;
    TRY(results_marks(s, point_x, point_metric, &metric, &rows));
    TRY(results_marks(s, point_x, point_rate, &rate, &rows));
    TRY(results_marks(s, point_x, point_joules, &joules, &rows));
    TRY(results_marks(s, point_x, point_peak, &peak, &rows));
    TRY(table_alloc(s, COLUMNS, rows, out));
    table_heads(out, raw ? raw_heads : heads, 2);
    out->kinds[COLUMNS - 1] = CELL_TEXT;
    out->heads[0] = s->series_key == NULL ? "series"
                    : raw                 ? s->series_key
                                          : key_text(s->series_key);
    out->heads[1] = s->x_key == NULL ? "x" : raw ? s->x_key : key_text(s->x_key);
    for (size_t row = 0; row < rows; row++) {
        summary_row(s, (SummaryMarks){&metric[row], &rate[row], &joules[row], &peak[row]}, raw,
                    &out->cells[row * COLUMNS]);
    }
    if (!raw) table_pack(out);
    return OK;
}

/* ---- writing --------------------------------------------------------------------------------- */

void table_csv(FILE *file, const ReportTable *t) {
    for (int i = 0; i < t->columns; i++)
        put_csv(file, t->heads[i]), fputc(i + 1 < t->columns ? ',' : '\n', file);
    for (size_t cell = 0; cell < t->rows * (size_t)t->columns; cell++) {
        put_csv(file, t->cells[cell]);
        fputc((cell + 1) % (size_t)t->columns != 0 ? ',' : '\n', file);
    }
}

void table_markdown(FILE *file, const ReportTable *t) {
    for (int i = 0; i < t->columns; i++)
        fputs("| ", file), put_markdown(file, t->heads[i]), fputc(' ', file);
    fputs("|\n", file);
    for (int i = 0; i < t->columns; i++) fputs(t->kinds[i] == CELL_NUMBER ? "|---:" : "|---", file);
    fputs("|\n", file);
    for (size_t row = 0; row < t->rows; row++) {
        for (int i = 0; i < t->columns; i++) {
            fputs("| ", file);
            put_markdown(file, t->cells[row * (size_t)t->columns + (size_t)i]);
            fputc(' ', file);
        }
        fputs("|\n", file);
    }
}

static void cell_html(FILE *file, const char *cell, CellKind kind) {
    static const char *const opening[] = {"<td>", "<td class=\"number\">", "<td>",
                                          "<td class=\"message\">", "<td class=\"remark\">"};
    fputs(opening[kind], file);
    if (kind == CELL_STATE)
        fputs("<span class=\"state ", file), put_html(file, cell), fputs("\">", file);
    put_html(file, cell);
    fputs(kind == CELL_STATE ? "</span></td>" : "</td>", file);
}

void table_html(FILE *file, const ReportTable *t, const char *label) {
    fputs("<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"", file);
    put_html(file, label);
    fputs("\"><table>\n<thead><tr>", file);
    for (int i = 0; i < t->columns; i++) {
        fputs(t->kinds[i] == CELL_NUMBER ? "<th scope=\"col\" class=\"number\">"
                                         : "<th scope=\"col\">",
              file);
        put_html(file, t->heads[i]);
        fputs("</th>", file);
    }
    fputs("</tr></thead>\n<tbody>\n", file);
    for (size_t row = 0; row < t->rows; row++) {
        fputs("<tr>", file);
        for (int i = 0; i < t->columns; i++)
            cell_html(file, t->cells[row * (size_t)t->columns + (size_t)i], t->kinds[i]);
        fputs("</tr>\n", file);
    }
    fputs("</tbody></table></div>\n", file);
}
