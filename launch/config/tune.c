#include "launch/config/tune.h"

#include "launch/config/diagnostic.h"
#include "launch/config/schema.h"
#include "launch/config/sweep_value.h"
#include "launch/config/value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double USUAL_SHARE = 0.25;

double tune_number(const char *text) {
    char *end;
    double value = strtod(text, &end);
    return *text != '\0' && *end == '\0' ? value : NAN;
}

static bool is_integer(const char *key) {
    FieldType type = schema_find(key)->type;
    return type == FIELD_INT || type == FIELD_INT_OR_AUTO || type == FIELD_INT_OR_ALL ||
           type == FIELD_U64;
}

const char *tune_text(Arena *arena, const char *key, double value) {
    if (is_integer(key)) return arena_printf(arena, "%.0f", round(value));
    const char *digits = arena_printf(arena, "%.2e", value);
    return digits == NULL ? NULL : arena_printf(arena, "%.15g", strtod(digits, NULL));
}

/* Numbers from low to high, other texts as listed. */
static void axis_sort(TuneAxis *axis) {
    for (int i = 1; i < axis->count; i++) {
        for (int k = i; k > 0 && tune_number(axis->texts[k]) < tune_number(axis->texts[k - 1]);
             k--) {
            const char *text = axis->texts[k];
            axis->texts[k] = axis->texts[k - 1];
            axis->texts[k - 1] = text;
        }
    }
}

/* ---- the candidates of a key ----------------------------------------------------------------- */

static Status too_few(const YamlNode *node, Place place) {
    return PLACE_ERROR(place, "'tune' needs at least two candidates for '%s'", node->key);
}

static Status read_listed(Arena *arena, const YamlNode *node, TuneAxis *out) {
    if (node->count < 2) return too_few(node, node->place);
    TRY(sweep_list_check(arena, node));
    if (node->count > TUNE_VALUES) {
        return PLACE_ERROR(node->place, "'tune' takes at most %d candidates for a key",
                           TUNE_VALUES);
    }
    for (const YamlNode *value = node->first; value != NULL; value = value->next)
        TRY(sweep_value_read(arena, node->key, value, &out->texts[out->count++]));
    return OK;
}

/* A bound of a log-spaced axis, as the key's type reads it. */
static Status read_bound(Arena *arena, const YamlNode *node, const char *name, double *out) {
    const YamlNode *bound = node_find(node, name);
    const char *text;
    TRY(sweep_value_read(arena, node->key, bound, &text));
    *out = tune_number(text);
    if (*out > 0) return OK;
    return PLACE_ERROR(bound->place, "'%s' of '%s' needs a positive number", name, node->key);
}

static Status spaced_form(const YamlNode *node) {
    bool whole = node->count == 3 && node_find(node, "from") != NULL &&
                 node_find(node, "to") != NULL && node_find(node, "points") != NULL;
    if (whole) return OK;
    return PLACE_ERROR(node->place,
                       "'tune' needs a list for '%s', or {from: LOW, to: HIGH, points: N}",
                       node->key);
}

static Status read_spaced(Arena *arena, const YamlNode *node, TuneAxis *out) {
    double low, high;
    int64_t points;
    TRY(spaced_form(node));
    TRY(read_bound(arena, node, "from", &low));
    TRY(read_bound(arena, node, "to", &high));
    const YamlNode *count = node_find(node, "points");
    bool is_count = count->kind == NODE_SCALAR && value_parse_int(count->text, &points);
    if (!is_count || points < 0 || points > TUNE_VALUES)
        return PLACE_ERROR(count->place, "'points' needs a number from 2 to %d", TUNE_VALUES);
    if (points < 2) return too_few(node, count->place);
    if (low >= high)
        return PLACE_ERROR(node->place, "'from' of '%s' must be below 'to'", node->key);
    out->ratio = pow(high / low, 1 / (double)(points - 1));
    for (int i = 0; i < points; i++) {
        const char *text = tune_text(arena, node->key, low * pow(out->ratio, i));
        if (text == NULL) return OUT_OF_MEMORY("a config");
        if (i > 0 && strcmp(text, out->texts[i - 1]) == 0)
            return PLACE_ERROR(node->place, "'%s' has this candidate twice: %s", node->key, text);
        out->texts[out->count++] = text;
    }
    return OK;
}

static Status read_axis(Arena *arena, const YamlNode *node, TuneAxis *out) {
    TRY(sweep_key_check(arena, node));
    bool is_budget = strncmp(node->key, "training.stop.", 14) == 0;
    if (strcmp(node->key, "seed") == 0 || is_budget) {
        return PLACE_ERROR(node->key_place, "'%s' cannot be tuned: candidates %s", node->key,
                           is_budget ? "have the same budget" : "have the first seed of the point");
    }
    out->key = node->key;
    if (node->kind == NODE_LIST) return read_listed(arena, node, out);
    if (node->kind == NODE_MAP) return read_spaced(arena, node, out);
    return spaced_form(node);
}

/* ---- the block ------------------------------------------------------------------------------- */

static Status read_share(const YamlNode *node, double *out) {
    ConfigLength share = {0};
    bool is_share = node->kind == NODE_SCALAR && value_parse_length(node->text, &share) &&
                    share.percent > 0 && share.percent < 100;
    *out = share.percent / 100;
    if (is_share) return OK;
    return PLACE_ERROR(node->place, "'tune.share' needs a percentage below 100%%, such as 25%%");
}

Status tune_read(Arena *arena, const YamlNode *node, Tune *out) {
    *out = (Tune){.share = USUAL_SHARE, .count = 1, .place = node->place};
    for (const YamlNode *child = node->first; node->kind == NODE_MAP && child != NULL;
         child = child->next) {
        if (strcmp(child->key, "share") == 0) {
            TRY(read_share(child, &out->share));
            continue;
        }
        if (out->n_axes == TUNE_AXES)
            return PLACE_ERROR(child->key_place, "'tune' takes at most %d keys", TUNE_AXES);
        TuneAxis *axis = &out->axes[out->n_axes++];
        TRY(read_axis(arena, child, axis));
        axis_sort(axis);
        out->count *= axis->count;
    }
    if (out->n_axes > 0) return OK;
    return PLACE_ERROR(node->place,
                       "'tune' needs a map of keys to candidates, such as {optimizer.lr: {from: "
                       "3e-4, to: 1.2e-2, points: 6}}");
}
