#include "launch/run/step_line.h"

#include "launch/base/line_fields.h"
#include "launch/base/readable.h"
#include "launch/base/terminal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BAR_SHORTEST = 6, BAR_LONGEST = 30, BAR_LINE_WIDEST = 80 };

void step_line(const Metric *m, int64_t last, int columns, char text[STEP_LINE_BYTES]) {
    LineFields fields = {.count = 0};
    char of[32] = "", rate[32], memory[32];
    if (last > 0) snprintf(of, sizeof of, "/%lld", (long long)last);
    readable_count(m->tok_per_s, rate, sizeof rate);
    readable_memory((double)m->mem_bytes, memory, sizeof memory);
    line_field_add(&fields, 0, "step %lld%s", (long long)m->step, of);
    line_field_add(&fields, 1, "loss %.4f", readable_real(m->train_loss));
    line_field_add(&fields, 6, "norm %.2f", readable_real(m->grad_norm));
    line_field_add(&fields, 5, "lr %.1e", m->lr);
    line_field_add(&fields, 7, "%.1f ms", m->step_ms);
    line_field_add(&fields, 2, "%s tok/s", rate);
    if (isfinite(m->mfu))
        line_field_add(&fields, 3, "MFU %.1f%%", 100 * m->mfu);
    else if (!m->is_of_cpu)
        line_field_add(&fields, 3, "MFU n/a");
    line_field_add(&fields, 4, "%s", memory);
    if (columns > 0) line_fields_fit(&fields, columns);
    line_fields_write(&fields, text, STEP_LINE_BYTES);
}

void bar_line(const Metric *m, const RunEnd *end, int columns, char text[STEP_LINE_BYTES]) {
    LineFields fields = {.count = 0};
    char left[32];
    columns = columns < BAR_LINE_WIDEST ? columns : BAR_LINE_WIDEST;
    readable_seconds(end->done > 0 ? m->train_s * (1 - end->done) / end->done : 0, left,
                     sizeof left);
    line_field_add(&fields, 0, " %3.0f%% of %s", 100 * end->done, end->limit);
    line_field_add(&fields, 3, "step %lld", (long long)m->step);
    line_field_add(&fields, 2, "loss %.4f", readable_real(m->train_loss));
    line_field_add(&fields, 1, "%s left", left);
    line_fields_fit(&fields, columns - BAR_SHORTEST);
    int room = columns - line_fields_width(&fields),
        width = room < BAR_LONGEST ? room : BAR_LONGEST;
    if (width < 0) width = 0;
    int full = (int)(end->done * width);
    memset(text, '#', (size_t)full);
    memset(text + full, '.', (size_t)(width - full));
    line_fields_write(&fields, text + width, (size_t)(STEP_LINE_BYTES - width));
    if (terminal_width_of(text) > columns) text[columns > 0 ? columns : 0] = '\0';
}
