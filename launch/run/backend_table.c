#include "launch/run/backend_table.h"

static const char *verdict_text(const BackendRow *row) {
    return row->refusal != NULL ? row->refusal
           : row->shadowed      ? "accepted; the row above goes first"
           : row->picked        ? "picked"
           : row->enabled       ? "accepted"
                                : "accepted, but not in attention.backends";
}

void backend_table_print(const BackendTable *table, FILE *file) {
    fprintf(file, "%-14s %12s %14s %10s %10s\n", "attention", "MiB planned", "largest batch", "ms",
            "step ms");
    for (int i = 0; i < table->count; i++) {
        const BackendRow *row = &table->rows[i];
        char bytes[24] = "-", batch[24] = "-", ms[24] = "-", step[24] = "-";
        if (row->planned_bytes > 0)
            snprintf(bytes, sizeof bytes, "%.1f", (double)row->planned_bytes / 0x1p20);
        if (row->planned_bytes > 0)
            snprintf(batch, sizeof batch, "%lld", (long long)row->largest_batch);
        if (row->seconds > 0) snprintf(ms, sizeof ms, "%.3f", 1e3 * row->seconds);
        if (row->predicted_s > 0) snprintf(step, sizeof step, "%.1f", 1e3 * row->predicted_s);
        fprintf(file, "%-14s %12s %14s %10s %10s   %s\n", row->name, bytes, batch, ms, step,
                verdict_text(row));
    }
    if (table->note != NULL) fprintf(file, "%s\n", table->note);
}

static json_t *milliseconds(double seconds) {
    return seconds > 0 ? json_real(1e3 * seconds) : json_null();
}

json_t *backend_table_json(const BackendTable *table) {
    json_t *list = json_array();
    for (int i = 0; i < table->count; i++) {
        const BackendRow *row = &table->rows[i];
        json_t *entry = json_object();
        json_object_set_new(entry, "name", json_string(row->name));
        json_object_set_new(entry, "picked", json_boolean(row->picked));
        json_object_set_new(entry, "enabled", json_boolean(row->enabled));
        json_object_set_new(entry, "refusal",
                            row->refusal == NULL ? json_null() : json_string(row->refusal));
        json_object_set_new(entry, "ms", milliseconds(row->seconds));
        json_object_set_new(entry, "predicted_step_ms", milliseconds(row->predicted_s));
        json_object_set_new(entry, "planned_bytes",
                            row->planned_bytes > 0 ? json_integer((json_int_t)row->planned_bytes)
                                                   : json_null());
        json_array_append_new(list, entry);
    }
    return list;
}

void backend_table_say(const BackendTable *table, Metrics *metrics) {
    for (int i = 0; i < table->count; i++) {
        const BackendRow *row = &table->rows[i];
        if (!row->enabled) continue;
        if (row->refusal != NULL)
            metrics_say(metrics, "attention: %s refused: %s", row->name, row->refusal);
        if (row->seconds > 0) {
            metrics_say(metrics, "attention: %s measured: %.3f ms forward and backward%s",
                        row->name, 1e3 * row->seconds, row->picked ? ", picked" : "");
        }
    }
}
