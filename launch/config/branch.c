#include "launch/config/branch.h"

#include "launch/config/diagnostic.h"
#include "launch/config/sweep_value.h"
#include "launch/config/value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BRANCHES = 4096 };

static const double USUAL_TOLERANCE = 0.01; /* arXiv:2505.23971 */

bool branch_is_in(const YamlNode *map) {
    return node_find(map, "branch") != NULL || node_find(map, "budgets") != NULL;
}

char *branch_stop_text(Arena *arena, const ConfigStop *stop) {
    if (stop->steps > 0)
        return arena_printf(arena, "training.stop.steps=%lld", (long long)stop->steps);
    if (stop->tokens > 0)
        return arena_printf(arena, "training.stop.tokens=%lld", (long long)stop->tokens);
    return arena_printf(arena, "training.stop.time=%.12gs", stop->time);
}

static bool starts_with(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

Status branch_stops_clear(Arena *arena, const Branch *b, char **out, int *n) {
    static const char *const rules[] = {"training.stop.steps", "training.stop.tokens",
                                        "training.stop.time"};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (strcmp(b->unit_key, rules[i]) == 0) continue;
        out[*n] = arena_printf(arena, "%s=null", rules[i]);
        if (out[(*n)++] == NULL) return OUT_OF_MEMORY("a config");
    }
    return OK;
}

/* Whether a key would change where the trunk or its branches end, or their schedule. */
static bool is_of_the_end(const char *key) {
    return starts_with(key, "training.stop.") || starts_with(key, "lr_scheduler.") ||
           strcmp(key, "branch_from") == 0;
}

/* ---- branch ---------------------------------------------------------------------------------- */

static Status read_share(Arena *arena, const YamlNode *node, const Branch *b, BranchFork *out) {
    ConfigLength share = {0};
    bool is_share = node->kind == NODE_SCALAR && value_parse_length(node->text, &share) &&
                    share.percent > 0 && share.percent < 100;
    if (!is_share)
        return PLACE_ERROR(node->place, "'branch.at' needs percentages between 0%% and 100%%");
    *out = (BranchFork){.text = arena_printf(arena, "%.10g%%", share.percent),
                        .share = share.percent / 100};
    if (out->text == NULL) return OUT_OF_MEMORY("a config");
    if (b->n_forks > 0 && out->share <= out[-1].share)
        return PLACE_ERROR(node->place, "'branch.at' must increase, but %s follows %s", out->text,
                           out[-1].text);
    return OK;
}

static Status read_at(Arena *arena, const YamlNode *node, Branch *out) {
    if (node->kind != NODE_LIST || node->first == NULL || node->count > BRANCH_FORKS)
        return PLACE_ERROR(node->place,
                           "'branch.at' needs a list of 1 to %d shares of the run, such as [10%%, "
                           "30%%]",
                           BRANCH_FORKS);
    for (const YamlNode *each = node->first; each != NULL; each = each->next) {
        TRY(read_share(arena, each, out, &out->forks[out->n_forks]));
        out->n_forks++;
    }
    return OK;
}

static Status read_tokens(const YamlNode *node, Branch *out) {
    bool is_count = node->kind == NODE_SCALAR && value_parse_int(node->text, &out->tokens);
    return is_count && out->tokens > 0
               ? OK
               : PLACE_ERROR(node->place, "'branch.tokens' needs a number of tokens, such as 2M");
}

static Status read_tolerance(const YamlNode *node, Branch *out) {
    bool is_loss = node->kind == NODE_SCALAR && value_parse_float(node->text, &out->tolerance);
    return is_loss && out->tolerance > 0 && out->tolerance < 100
               ? OK
               : PLACE_ERROR(node->place, "'branch.tolerance' needs a loss above 0, such as 0.01");
}

static Status read_run(Arena *arena, const YamlNode *node, Branch *out) {
    if (node->kind != NODE_SCALAR || node_is_null(node) || *node->text == '\0')
        return PLACE_ERROR(node->place, "'branch.run' needs the directory of a run");
    out->run = arena_strdup(arena, node->text);
    return out->run == NULL ? OUT_OF_MEMORY("a config") : OK;
}

static Status read_axis(Arena *arena, const YamlNode *node, const YamlNode *map, Branch *out) {
    TRY(sweep_key_check(arena, node));
    if (strcmp(node->key, "seed") == 0 || is_of_the_end(node->key))
        return PLACE_ERROR(node->key_place, "'%s' cannot differ between the branches of a run",
                           node->key);
    if (node_find(map, node->key) != NULL)
        return PLACE_ERROR(node->key_place, "'%s' is both swept and branched; choose one",
                           node->key);
    if (out->n_axes == BRANCH_AXES)
        return PLACE_ERROR(node->key_place, "'branch' takes at most %d keys", BRANCH_AXES);
    TRY(sweep_list_check(arena, node));
    if (node->count * (size_t)out->count > MOST_BRANCHES)
        return PLACE_ERROR(node->place, "'branch' has more than %d branches of a fork",
                           MOST_BRANCHES);
    BranchAxis *axis = &out->axes[out->n_axes++];
    *axis = (BranchAxis){.key = node->key,
                         .texts = arena_alloc(arena, node->count * sizeof *axis->texts)};
    if (axis->texts == NULL) return OUT_OF_MEMORY("a config");
    for (const YamlNode *value = node->first; value != NULL; value = value->next)
        TRY(sweep_value_read(arena, node->key, value, &axis->texts[axis->count++]));
    out->count *= axis->count;
    return OK;
}

static Status read_child(Arena *arena, const YamlNode *child, const YamlNode *map, Branch *out) {
    if (strcmp(child->key, "run") == 0) return read_run(arena, child, out);
    if (strcmp(child->key, "at") == 0) return read_at(arena, child, out);
    if (strcmp(child->key, "tokens") == 0) return read_tokens(child, out);
    if (strcmp(child->key, "tolerance") == 0) return read_tolerance(child, out);
    return read_axis(arena, child, map, out);
}

static bool is_in_steps(const ConfigLength *length) {
    return value_length_unit(length) == LENGTH_STEPS && length->steps > 0;
}

/* Branches of other batches take other steps and times for the same tokens. */
static Status branch_units(const Branch *b, const Config *config) {
    const ConfigStop *stop = &config->training.stop;
    const ConfigSchedule *s = &config->lr_scheduler;
    if (stop->tokens == 0 || stop->steps > 0 || stop->time > 0)
        return PLACE_ERROR(b->place, "'branch' compares batches after equal tokens: it needs "
                                     "'training.stop.tokens', and neither steps nor time");
    bool is_warmup = is_in_steps(&s->warmup),
         is_decay = s->shape != SCHEDULE_CONSTANT && is_in_steps(&s->decay);
    if (!is_warmup && !is_decay) return OK;
    return PLACE_ERROR(b->place,
                       "'branch' needs 'lr_scheduler.%s' in tokens or percent, because another "
                       "batch takes other steps",
                       is_warmup ? "warmup" : "decay");
}

static Status branch_forks(Branch *b, const Config *config) {
    int64_t total = config->training.stop.tokens;
    for (int i = 0; i < b->n_forks; i++) {
        BranchFork *fork = &b->forks[i];
        fork->cut.tokens = (int64_t)ceil(fork->share * (double)total - 1e-6);
        fork->end.tokens = fork->cut.tokens + b->tokens;
        if (b->run == NULL && fork->end.tokens > total)
            return PLACE_ERROR(b->place,
                               "branches at %s end after %lld tokens, but the schedule ends after "
                               "%lld; reduce 'branch.tokens' or the share",
                               fork->text, (long long)fork->end.tokens, (long long)total);
    }
    return OK;
}

static Status read_branch(Arena *arena, const YamlNode *node, const YamlNode *map,
                          const Config *config, Branch *out) {
    out->tolerance = USUAL_TOLERANCE;
    for (const YamlNode *child = node->first; node->kind == NODE_MAP && child != NULL;
         child = child->next)
        TRY(read_child(arena, child, map, out));
    if (out->n_forks == 0 || out->tokens == 0 || out->n_axes == 0)
        return PLACE_ERROR(node->place,
                           "'branch' needs a map such as {at: [10%%, 30%%], tokens: 2M, "
                           "data.batch_size: [8, 16]}");
    TRY(branch_units(out, config));
    return branch_forks(out, config);
}

/* ---- budgets --------------------------------------------------------------------------------- */

static double number_of(const ConfigStop *stop) {
    return stop->steps > 0 ? (double)stop->steps
                           : (stop->tokens > 0 ? (double)stop->tokens : stop->time);
}

static bool parse_budget(const char *text, ConfigStop *out) {
    ConfigInterval interval;
    ConfigLength length;
    *out = (ConfigStop){0};
    if (value_parse_interval(text, &interval)) {
        out->steps = interval.seconds > 0 ? 0 : interval.steps;
        out->time = interval.seconds;
    } else if (value_parse_length(text, &length)) {
        out->tokens = length.tokens;
    }
    return number_of(out) > 0;
}

static const char *unit_key_of(const ConfigStop *stop) {
    return stop->steps > 0    ? "training.stop.steps"
           : stop->tokens > 0 ? "training.stop.tokens"
                              : "training.stop.time";
}

static Status read_budget(Arena *arena, const YamlNode *node, Branch *b) {
    BranchFork *fork = &b->forks[b->n_forks];
    if (node->kind != NODE_SCALAR || !parse_budget(node->text, &fork->end))
        return PLACE_ERROR(node->place,
                           "'budgets' needs times, steps or tokens, such as 2m, 5000 or 80M "
                           "tokens");
    const char *key = unit_key_of(&fork->end), *whole = branch_stop_text(arena, &fork->end);
    const YamlNode *value =
        whole == NULL ? NULL : node_scalar(arena, strchr(whole, '=') + 1, node->place);
    if (value == NULL) return OUT_OF_MEMORY("a config");
    TRY(sweep_value_read(arena, key, value, &fork->text));
    if (b->n_forks++ == 0) {
        b->unit_key = key;
        return OK;
    }
    if (strcmp(key, b->unit_key) == 0 && number_of(&fork->end) > number_of(&fork[-1].end))
        return OK;
    return PLACE_ERROR(node->place, "'budgets' must increase, in one unit, but %s follows %s",
                       shown(arena, node->text), fork[-1].text);
}

/* The part of the decay in a budget, in the budget's unit; NaN if it has another unit. */
static double decay_of(const ConfigLength *decay, const ConfigStop *budget) {
    if (decay->percent > 0) return decay->percent / 100 * number_of(budget);
    if (decay->tokens > 0) return budget->tokens > 0 ? (double)decay->tokens : NAN;
    return budget->steps > 0 ? (double)decay->steps : NAN;
}

/* The stable phase must have begun, and the decay must have some steps or a second. */
static Status check_budget(const Branch *b, const Config *config, BranchFork *fork) {
    enum { FEWEST_STEPS = 10 };
    const ConfigLength *warmup = &config->lr_scheduler.warmup;
    double decay = decay_of(&config->lr_scheduler.decay, &fork->end),
           cut = number_of(&fork->end) - decay;
    double begins = warmup->tokens > 0 ? (fork->end.tokens > 0 ? (double)warmup->tokens : 0)
                                       : (fork->end.steps > 0 ? (double)warmup->steps : 0);
    double least = fork->end.steps > 0 ? FEWEST_STEPS : 1;
    if (cut <= 0 || cut < begins)
        return PLACE_ERROR(b->place,
                           "the budget %s is too short: warm-up and decay take %.10g of %.10g",
                           fork->text, begins + decay, number_of(&fork->end));
    if (decay < least)
        return PLACE_ERROR(b->place,
                           "the budget %s is too short: its decay takes %.3g %s, and the least is "
                           "%.0f",
                           fork->text, decay, fork->end.steps > 0 ? "steps" : "s", least);
    if (fork->end.steps > 0)
        fork->cut.steps = (int64_t)floor(cut);
    else if (fork->end.tokens > 0)
        fork->cut.tokens = (int64_t)floor(cut);
    else
        fork->cut.time = cut;
    return OK;
}

/* What depends on the length of the run would differ between the trunk and a run of one budget. */
static const char *share_in(const Config *config) {
    const ConfigBatchSchedule *batch = &config->training.batch_schedule;
    const ConfigWindowSchedule *window = &config->attention.window;
    if (config->lr_scheduler.warmup.percent > 0) return "lr_scheduler.warmup";
    if (batch->count > 1 && batch->from[1].percent > 0) return "training.batch_schedule";
    if (window->count > 1 && window->from[1].percent > 0) return "attention.window";
    return NULL;
}

static Status check_schedule(const Branch *b, const Config *config) {
    const char *share = share_in(config);
    if (config->lr_scheduler.shape != SCHEDULE_WSD)
        return PLACE_ERROR(b->place,
                           "'budgets' needs 'lr_scheduler.shape' wsd, whose stable phase they "
                           "share");
    if (share != NULL)
        return PLACE_ERROR(b->place,
                           "'budgets' needs '%s' in steps or tokens: a share would differ between "
                           "the budgets",
                           share);
    if (isnan(decay_of(&config->lr_scheduler.decay, &b->forks[0].end)))
        return PLACE_ERROR(b->place,
                           "'lr_scheduler.decay' needs a percentage or the unit of the budgets");
    return OK;
}

static Status read_budgets(Arena *arena, const YamlNode *node, const Config *config, Branch *out) {
    if (node->kind != NODE_LIST || node->count < 2 || node->count > BRANCH_FORKS)
        return PLACE_ERROR(node->place, "'budgets' needs a list of 2 to %d budgets", BRANCH_FORKS);
    for (const YamlNode *each = node->first; each != NULL; each = each->next)
        TRY(read_budget(arena, each, out));
    TRY(check_schedule(out, config));
    for (int i = 0; i < out->n_forks; i++) TRY(check_budget(out, config, &out->forks[i]));
    return OK;
}

/* ---- the block ------------------------------------------------------------------------------- */

static Status check_others(const YamlNode *map, const YamlNode *block) {
    for (const YamlNode *key = map->first; key != NULL; key = key->next) {
        if (key != block && sweep_is_block(key))
            return PLACE_ERROR(key->key_place, "a sweep takes one of 'tune', 'branch', 'budgets'");
        if (is_of_the_end(key->key))
            return PLACE_ERROR(key->key_place, "'%s' cannot be swept beside '%s'", key->key,
                               block->key);
    }
    return OK;
}

Status branch_read(Arena *arena, const YamlNode *map, const Config *config, Branch *out) {
    const YamlNode *branch = node_find(map, "branch"),
                   *block = branch != NULL ? branch : node_find(map, "budgets");
    *out = (Branch){.count = 1, .place = block->key_place};
    TRY(check_others(map, block));
    return branch != NULL ? read_branch(arena, block, map, config, out)
                          : read_budgets(arena, block, config, out);
}
