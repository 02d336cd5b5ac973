#include "launch/config/field.h"

#include "launch/config/diagnostic.h"
#include "launch/config/path_list.h"
#include "launch/config/suggest.h"
#include "launch/config/text_value.h"
#include "launch/config/value.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Reading {
    const Field *field;
    const YamlNode *node; /* the value, or the current list item */
    Config *config;
} Reading;

static void *target(const Reading *r) { return (char *)r->config + r->field->offset; }

static Status mismatch(const Reading *r, const char *wanted) {
    return PLACE_ERROR(r->node->place, "'%s' needs %s, not %s", r->field->path, wanted,
                       shown_node(&r->config->arena, r->node));
}

static Status out_of_range(const Reading *r, const char *relation, double bound) {
    char limit[48] = "";
    FILE *file = fmemopen(limit, sizeof limit, "w");
    if (file == NULL) return OUT_OF_MEMORY("a config");
    if (r->field->type == FIELD_DURATION) {
        value_write_duration(bound, file);
    } else if (r->field->type >= FIELD_FLOAT && r->field->type <= FIELD_FLOAT_PAIR_OR_AUTO) {
        value_write_float(bound, file);
    } else {
        fprintf(file, "%.0f", bound);
    }
    fclose(file);
    return PLACE_ERROR(r->node->place, "'%s' must be %s %s, not %s", r->field->path, relation,
                       limit, shown_node(&r->config->arena, r->node));
}

static Status check_range(const Reading *r, double value) {
    const Field *field = r->field;
    if (value != 0 && fabs(value) < FLT_MIN) {
        return PLACE_ERROR(r->node->place,
                           "'%s' is %s, which is 0 in float32; the least is 1.2e-38", field->path,
                           shown_node(&r->config->arena, r->node));
    }
    if (field->low == field->high) return OK;
    if (value < field->low) return out_of_range(r, "at least", field->low);
    if (field->below && value >= field->high) return out_of_range(r, "below", field->high);
    if (value > field->high) return out_of_range(r, "at most", field->high);
    return OK;
}

static Status read_string(const Reading *r, const char **out) {
    return text_value_read(r->field, r->node, r->config, out);
}

static Status read_key(const Reading *r) {
    if (r->node->kind != NODE_SCALAR) return mismatch(r, "a key such as data.batch_size");
    if (schema_find(r->node->text) == NULL) {
        char buffer[64];
        const char *near = schema_suggest(r->node->text, buffer, sizeof buffer);
        return PLACE_ERROR(r->node->place, "'%s' needs a key such as data.batch_size, not %s%s%s%s",
                           r->field->path, shown_node(&r->config->arena, r->node),
                           near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    return read_string(r, target(r));
}

static Status read_int(const Reading *r, int64_t *out) {
    const char *text = r->node->text;
    const char *word = field_word(r->field, 0);
    if (word != NULL && r->node->kind == NODE_SCALAR && strcmp(text, word) == 0) {
        *out = 0;
        return OK;
    }
    if (r->node->kind != NODE_SCALAR || !value_parse_int(text, out)) {
        return mismatch(r, r->field->type == FIELD_INT_OR_AUTO ? "an integer such as 12, or auto"
                           : r->field->type == FIELD_INT_OR_ALL
                               ? "an integer such as 10k or 1M, or all"
                           : r->field->type == FIELD_WINDOW ? "an integer such as 512, or full"
                                                            : "an integer such as 12 or 10k");
    }
    return check_range(r, (double)*out);
}

static Status read_u64(const Reading *r, uint64_t *out) {
    if (r->node->kind == NODE_SCALAR && value_parse_u64(r->node->text, out)) return OK;
    return mismatch(r, "an integer from 0 to 2^64 - 1");
}

static bool is_auto(const Reading *r) {
    return r->node->kind == NODE_SCALAR && strcmp(r->node->text, "auto") == 0;
}

static Status read_float_or_auto(const Reading *r, double *out) {
    *out = NAN;
    if (is_auto(r)) return OK;
    if (r->node->kind != NODE_SCALAR || !value_parse_float(r->node->text, out))
        return mismatch(r, "a number such as 6e-4, or auto");
    return check_range(r, *out);
}

static Status read_float(const Reading *r, double *out) {
    if (r->node->kind != NODE_SCALAR || !value_parse_float(r->node->text, out)) {
        return mismatch(r, "a number such as 6e-4");
    }
    return check_range(r, *out);
}

static Status read_pair(const Reading *r, double *out) {
    if (r->node->kind != NODE_LIST || r->node->count != 2)
        return mismatch(r, "two numbers such as [0.9, 0.95]");
    Reading first = {r->field, r->node->first, r->config},
            second = {r->field, r->node->last, r->config};
    TRY(read_float(&first, &out[0]));
    return read_float(&second, &out[1]);
}

static Status read_pair_or_auto(const Reading *r, double *out) {
    out[0] = out[1] = NAN;
    if (is_auto(r)) return OK;
    return r->node->kind == NODE_SCALAR ? mismatch(r, "two numbers such as [0.9, 0.95], or auto")
                                        : read_pair(r, out);
}

static Status read_bool(const Reading *r, bool *out) {
    if (r->node->kind == NODE_SCALAR && value_parse_bool(r->node->text, out)) return OK;
    return mismatch(r, "true or false");
}

static Status read_budget(const Reading *r, ConfigBudget *out) {
    if (r->node->kind == NODE_SCALAR && value_parse_budget(r->node->text, out)) return OK;
    return mismatch(r, "an amount such as 36GiB or 90%");
}

static Status read_duration(const Reading *r, double *out) {
    if (r->node->kind != NODE_SCALAR || !value_parse_duration(r->node->text, out)) {
        return mismatch(r, "a duration such as 1h30m or 45s");
    }
    return check_range(r, *out);
}

static Status read_interval(const Reading *r, ConfigInterval *out) {
    if (r->node->kind == NODE_SCALAR && value_parse_interval(r->node->text, out)) return OK;
    return mismatch(r, "a duration such as 10m, or steps such as 500");
}

static Status read_any_length(const Reading *r, ConfigLength *out) {
    if (r->node->kind != NODE_SCALAR || !value_parse_length(r->node->text, out))
        return mismatch(r, "steps such as 500, tokens such as 10M tokens, or a share such as 2%");
    if (out->percent > 100)
        return PLACE_ERROR(r->node->place, "'%s' must be at most 100%% of the run, not %s",
                           r->field->path, shown_node(&r->config->arena, r->node));
    return OK;
}

static Status read_length(const Reading *r, ConfigLength *out) {
    TRY(read_any_length(r, out));
    bool is_count = out->percent == 0 && out->tokens == 0;
    return is_count ? check_range(r, (double)out->steps) : OK;
}

static Status read_choice(const Reading *r, int *out) {
    const char *const *names = r->field->names;
    if (r->node->kind == NODE_SCALAR) {
        for (int i = 0; names[i] != NULL; i++) {
            if (strcmp(names[i], r->node->text) != 0) continue;
            *out = i;
            return OK;
        }
    }
    char wanted[512] = "one of";
    for (int i = 0; names[i] != NULL; i++) {
        size_t used = strlen(wanted);
        snprintf(wanted + used, sizeof wanted - used, "%s %s", i == 0 ? "" : ",", names[i]);
    }
    const char *near = r->node->kind == NODE_SCALAR ? suggest(r->node->text, names) : NULL;
    return PLACE_ERROR(r->node->place, "'%s' needs %s, not %s%s%s%s", r->field->path, wanted,
                       shown_node(&r->config->arena, r->node), near ? "; did you mean '" : "",
                       near ? near : "", near ? "'?" : "");
}

static Status read_choices(const Reading *r, ConfigChoices *out) {
    if (r->node->kind != NODE_LIST || r->node->first == NULL)
        return mismatch(r, "a list such as [flash, math]");
    *out = (ConfigChoices){0};
    for (const YamlNode *item = r->node->first; item != NULL; item = item->next) {
        Reading inner = {r->field, item, r->config};
        int choice = 0;
        TRY(read_choice(&inner, &choice));
        for (int i = 0; i < out->count; i++) {
            if (out->items[i] == choice)
                return PLACE_ERROR(item->place, "'%s' is listed twice", item->text);
        }
        out->items[out->count++] = choice;
    }
    return OK;
}

static Status read_strings(const Reading *r, ConfigStrings *out) {
    if (r->node->kind != NODE_LIST) return mismatch(r, "a list of texts");
    out->count = 0;
    out->items = arena_alloc(&r->config->arena, (r->node->count + 1) * sizeof *out->items);
    if (out->items == NULL) return OUT_OF_MEMORY("a config");
    for (const YamlNode *item = r->node->first; item != NULL; item = item->next) {
        Reading inner = {r->field, item, r->config};
        TRY(read_string(&inner, &out->items[out->count++]));
    }
    return OK;
}

static Status read_enum(const Reading *r, void *out) {
    int choice = 0;
    TRY(read_choice(r, &choice));
    memcpy(out, &choice, sizeof choice);
    return OK;
}

static Status read_pattern_item(const Reading *r, int64_t *out) {
    int choice = 0;
    if (r->field->names == NULL) return read_int(r, out);
    TRY(read_choice(r, &choice));
    *out = choice;
    return OK;
}

static Status read_pattern(const Reading *r, LayerPattern *out) {
    *out = (LayerPattern){0};
    if (r->node->kind != NODE_LIST) {
        out->count = 1;
        return read_pattern_item(r, &out->items[0]);
    }
    if (r->node->count == 0 || r->node->count > LAYER_PATTERN_MAX) {
        return PLACE_ERROR(r->node->place, "'%s' needs 1 to %d values, not %zu", r->field->path,
                           LAYER_PATTERN_MAX, r->node->count);
    }
    for (const YamlNode *item = r->node->first; item != NULL; item = item->next) {
        Reading inner = {r->field, item, r->config};
        TRY(read_pattern_item(&inner, &out->items[out->count++]));
    }
    return OK;
}

/* ---- schedules: [[0, A], [30%, B]] --------------------------------------------------------- */

static bool is_schedule(const YamlNode *node) {
    return node->kind == NODE_LIST && node->first != NULL && node->first->kind == NODE_LIST;
}

/* The start of row i; from[0 .. i - 1] are read. */
static Status read_start(const Reading *r, int i, ConfigLength *from) {
    TRY(read_any_length(r, &from[i]));
    double number = value_length_number(&from[i]);
    if (i == 0 && number > 0)
        return PLACE_ERROR(r->node->place, "the first row of '%s' starts at 0, not at %s",
                           r->field->path, r->node->text);
    if (value_length_unit(&from[i]) == LENGTH_PERCENT && number >= 100)
        return PLACE_ERROR(r->node->place, "a row of '%s' starts before 100%%, the end of the run",
                           r->field->path);
    if (i > 1 && value_length_unit(&from[i]) != value_length_unit(&from[i - 1]))
        return PLACE_ERROR(r->node->place,
                           "the rows of '%s' start in one unit: steps, tokens or percent",
                           r->field->path);
    if (i > 0 && number <= value_length_number(&from[i - 1]))
        return PLACE_ERROR(r->node->place, "each row of '%s' starts after the previous one",
                           r->field->path);
    return OK;
}

/* The starts of all rows, and the nodes of their values. */
static Status read_rows(const Reading *r, ConfigLength from[CONFIG_PHASES_MAX],
                        const YamlNode *values[CONFIG_PHASES_MAX], int *count) {
    *count = 0;
    if (!is_schedule(r->node)) return mismatch(r, "rows such as [[0, 131k], [30%, 262k]]");
    for (const YamlNode *row = r->node->first; row != NULL; row = row->next) {
        Reading inner = {r->field, row, r->config};
        if (*count == CONFIG_PHASES_MAX)
            return PLACE_ERROR(row->place, "'%s' has more than %d rows", r->field->path,
                               CONFIG_PHASES_MAX);
        if (row->kind != NODE_LIST || row->count != 2)
            return mismatch(&inner, "a start and a value in each row, such as [30%, 512]");
        inner.node = row->first;
        TRY(read_start(&inner, *count, from));
        values[(*count)++] = row->last;
    }
    return OK;
}

static Status read_batches(const Reading *r, ConfigBatchSchedule *out) {
    const YamlNode *values[CONFIG_PHASES_MAX];
    *out = (ConfigBatchSchedule){.node = r->node};
    TRY(read_rows(r, out->from, values, &out->count));
    for (int i = 0; i < out->count; i++)
        TRY(read_int(&(Reading){r->field, values[i], r->config}, &out->tokens[i]));
    return OK;
}

static Status read_window(const Reading *r) {
    ConfigWindowSchedule *out = &r->config->attention.window;
    const YamlNode *values[CONFIG_PHASES_MAX];
    *out = (ConfigWindowSchedule){0};
    if (!is_schedule(r->node)) return read_pattern(r, target(r));
    TRY(read_rows(r, out->from, values, &out->count));
    for (int i = 0; i < out->count; i++)
        TRY(read_pattern(&(Reading){r->field, values[i], r->config}, &out->windows[i]));
    r->config->model.window = out->windows[out->count - 1];
    return OK;
}

Status field_read(const Field *field, const YamlNode *node, Config *config) {
    Reading r = {field, node, config};
    void *out = target(&r);
    switch (field->type) {
    case FIELD_STRING: return read_string(&r, out);
    case FIELD_KEY: return read_key(&r);
    case FIELD_PATHS:
    case FIELD_MIXTURE: return path_list_read(field, node, config, out);
    case FIELD_INT:
    case FIELD_INT_OR_AUTO:
    case FIELD_INT_OR_ALL: return read_int(&r, out);
    case FIELD_U64: return read_u64(&r, out);
    case FIELD_FLOAT: return read_float(&r, out);
    case FIELD_FLOAT_OR_AUTO: return read_float_or_auto(&r, out);
    case FIELD_FLOAT_PAIR: return read_pair(&r, out);
    case FIELD_FLOAT_PAIR_OR_AUTO: return read_pair_or_auto(&r, out);
    case FIELD_BOOL: return read_bool(&r, out);
    case FIELD_BUDGET: return read_budget(&r, out);
    case FIELD_DURATION: return read_duration(&r, out);
    case FIELD_INTERVAL: return read_interval(&r, out);
    case FIELD_LENGTH: return read_length(&r, out);
    case FIELD_ENUM: return read_enum(&r, out);
    case FIELD_ENUM_LIST: return read_choices(&r, out);
    case FIELD_STRING_LIST:
    case FIELD_SHELL_LINES: return read_strings(&r, out);
    case FIELD_PATTERN: return read_pattern(&r, out);
    case FIELD_WINDOW: return read_window(&r);
    case FIELD_BATCH_SCHEDULE: return read_batches(&r, out);
    case FIELD_MAPS:
    case FIELD_SWEEP: *(const YamlNode **)out = node; return OK;
    }
    return OK;
}
