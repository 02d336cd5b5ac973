#include "launch/config/diagnostic.h"
#include "launch/config/group_rules.h"
#include "launch/config/resolve.h"
#include "launch/config/suggest.h"
#include "launch/config/sweep_points.h"
#include "launch/config/value.h"
#include "launch/run/metrics.h"

#include <math.h>
#include <string.h>

static bool is_override(const YamlNode *node) {
    return strcmp(node->place.source->origin, COMMAND_LINE) == 0;
}

/* The position of the first key, or of the second if only that one is on the command line, which
 * takes precedence; otherwise the start of the config. */
static Place place_of(const YamlNode *root, const char *first, const char *second) {
    const char *const keys[] = {first, second};
    const YamlNode *found = NULL;
    for (size_t i = 0; i < 2; i++) {
        const YamlNode *node = node_find_path(root, keys[i]);
        if (node == NULL || node->is_default) continue;
        if (found == NULL || (is_override(node) && !is_override(found))) found = node;
    }
    return found == NULL ? root->place : found->place;
}

static Status check_required(const YamlNode *root, const Config *config) {
    if (config->data.train.count == 0) {
        return PLACE_ERROR(
            place_of(root, "data.train", "data"),
            "'data.train' is missing; name a token file, or make one with ./prepare");
    }
    const ConfigStop *stop = &config->training.stop;
    if (stop->steps == 0 && stop->tokens == 0 && stop->time == 0) {
        return PLACE_ERROR(
            place_of(root, "training.stop", "training"),
            "no stop rule; give 'training.stop' steps, tokens or time%s",
            node_find_path(root, "sweep.budgets") == NULL ? "" : ", such as the largest budget");
    }
    return OK;
}

static Status check_name(const YamlNode *root, const Config *config) {
    Place place = place_of(root, "name", "name");
    if (strchr(config->name, '/') != NULL) {
        return PLACE_ERROR(place,
                           "'name' must not contain a slash; set 'output' for the run directory");
    }
    if (strcmp(config->name, ".") == 0 || strcmp(config->name, "..") == 0) {
        return PLACE_ERROR(place, "'%s' cannot name a run: a directory of this name exists",
                           config->name);
    }
    return OK;
}

static Status check_sizes(const YamlNode *root, const ModelConfig *model) {
    static const char *const keys[] = {"model.n_layer", "model.n_head", "model.n_embd",
                                       "model.block_size"};
    const int64_t sizes[] = {model->L, model->NH, model->C, model->T};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (sizes[i] > 0) continue;
        return PLACE_ERROR(place_of(root, "model.preset", "model"),
                           "'%s' is required if 'model.preset' is none", keys[i]);
    }
    return OK;
}

static Status check_heads(const YamlNode *root, const ModelConfig *model) {
    if (model->HS == 0 && model->C % model->NH != 0) {
        return PLACE_ERROR(place_of(root, "model.n_head", "model.n_embd"),
                           "'model.n_embd' (%lld) must be a multiple of 'model.n_head' (%lld)",
                           (long long)model->C, (long long)model->NH);
    }
    if (model->NH_kv != 0 && model->NH % model->NH_kv != 0) {
        return PLACE_ERROR(place_of(root, "model.n_kv_head", "model.n_head"),
                           "'model.n_head' (%lld) must be a multiple of 'model.n_kv_head' (%lld)",
                           (long long)model->NH, (long long)model->NH_kv);
    }
    return OK;
}

static Status check_rope(const YamlNode *root, const ModelConfig *model) {
    RopeFrequencies frequencies;
    ModelConfig whole = model_config_complete(*model);
    if (model->position != POSITION_ROPE) return OK;
    if (model->rope.high_freq_factor <= model->rope.low_freq_factor) {
        return PLACE_ERROR(
            place_of(root, "model.rope.high_freq_factor", "model.rope.low_freq_factor"),
            "'model.rope.high_freq_factor' (%g) must be over 'model.rope.low_freq_factor' (%g)",
            model->rope.high_freq_factor, model->rope.low_freq_factor);
    }
    if (!failed(rope_frequencies(&whole.rope, whole.HS, &frequencies))) return OK;
    return PLACE_ERROR(place_of(root, "model.rope", "model.position"), "%s", status_message());
}

static Status check_short_conv(const YamlNode *root, const ModelConfig *model) {
    static const char *const keys[] = {[CONV_ATTENTION] = "model.short_conv.attention",
                                       [CONV_QKV] = "model.short_conv.qkv",
                                       [CONV_MLP] = "model.short_conv.mlp"};
    for (int place = 0; place < CONV_PLACES; place++) {
        if (model->short_conv[place] != 1) continue;
        return PLACE_ERROR(place_of(root, keys[place], "model.short_conv"),
                           "'%s' needs 0, or 2 to 4 taps; one tap is no convolution", keys[place]);
    }
    return OK;
}

static Status check_model(const YamlNode *root, const Config *config) {
    TRY(check_sizes(root, &config->model));
    TRY(check_heads(root, &config->model));
    TRY(check_short_conv(root, &config->model));
    return check_rope(root, &config->model);
}

/* Cosine and linear end at `decay`. Lengths in different units are compared when the run starts. */
static Status check_decay(const YamlNode *root, const Config *config) {
    const ConfigLength *warmup = &config->lr_scheduler.warmup, *decay = &config->lr_scheduler.decay;
    LengthUnit unit = value_length_unit(warmup);
    const char *sign = unit == LENGTH_PERCENT ? "%" : unit == LENGTH_TOKENS ? " tokens" : "";
    double most = value_length_number(decay), length = value_length_number(warmup);
    if (unit != value_length_unit(decay) || length <= most) return OK;
    return PLACE_ERROR(
        place_of(root, "lr_scheduler.decay", "lr_scheduler.warmup"),
        "'lr_scheduler.warmup' (%.10g%s) must be at most 'lr_scheduler.decay' (%.10g%s)", length,
        sign, most, sign);
}

/* `run`: its length in this unit; 0: unknown. */
static Status check_overlap(const YamlNode *root, int64_t warmup, int64_t decay, int64_t run,
                            const char *unit) {
    if (run == 0 || warmup + decay <= run) return OK;
    return PLACE_ERROR(place_of(root, "lr_scheduler.decay", "lr_scheduler.warmup"),
                       "'lr_scheduler.warmup' (%lld) and 'lr_scheduler.decay' (%lld) overlap; "
                       "the run has %lld %s",
                       (long long)warmup, (long long)decay, (long long)run, unit);
}

static Status check_wsd(const YamlNode *root, const Config *config) {
    const ConfigLength *warmup = &config->lr_scheduler.warmup, *decay = &config->lr_scheduler.decay;
    const YamlNode *given = node_find_path(root, "lr_scheduler.decay");
    if (given == NULL || given->is_default)
        return PLACE_ERROR(place_of(root, "lr_scheduler.shape", "lr_scheduler"),
                           "shape wsd needs 'lr_scheduler.decay', the length of the decay at the "
                           "end, such as 60%%");
    if (warmup->percent + decay->percent > 100)
        return PLACE_ERROR(place_of(root, "lr_scheduler.decay", "lr_scheduler.warmup"),
                           "'lr_scheduler.warmup' (%g%%) and 'lr_scheduler.decay' (%g%%) overlap; "
                           "together they are at most 100%%",
                           warmup->percent, decay->percent);
    if (warmup->percent + decay->percent > 0) return OK;
    const ConfigStop *stop = &config->training.stop;
    TRY(check_overlap(root, warmup->steps, decay->steps, stop->steps, "steps"));
    return check_overlap(root, warmup->tokens, decay->tokens, stop->tokens, "tokens");
}

static Status check_schedule(const YamlNode *root, const Config *config) {
    const ConfigSchedule *schedule = &config->lr_scheduler;
    if (schedule->min_lr > config->optimizer.lr) {
        return PLACE_ERROR(place_of(root, "lr_scheduler.min_lr", "optimizer.lr"),
                           "'lr_scheduler.min_lr' (%g) must be at most 'optimizer.lr' (%g)",
                           schedule->min_lr, config->optimizer.lr);
    }
    if (schedule->shape == SCHEDULE_CONSTANT) return OK;
    return schedule->shape == SCHEDULE_WSD ? check_wsd(root, config) : check_decay(root, config);
}

/* The phases of a run are the rows of both schedules, in order. */
static Status check_phases(const YamlNode *root, const Config *config) {
    const ConfigBatchSchedule *batch = &config->training.batch_schedule;
    const ConfigWindowSchedule *window = &config->attention.window;
    Place place = place_of(root, "training.batch_schedule", "attention.window");
    bool both = batch->count > 1 && window->count > 1;
    if (both && value_length_unit(&batch->from[1]) != value_length_unit(&window->from[1]))
        return PLACE_ERROR(place, "the rows of 'training.batch_schedule' and 'attention.window' "
                                  "start in one unit: steps, tokens or percent");
    if (batch->count == 0) return OK;
    if (config->training.gradient_accumulation_steps != 1)
        return PLACE_ERROR(
            place_of(root, "training.gradient_accumulation_steps", "training.batch_schedule"),
            "'training.batch_schedule' sets the accumulation; remove "
            "'training.gradient_accumulation_steps'");
    if (config->optimizer.beta2_half_life != 0)
        return PLACE_ERROR(place_of(root, "optimizer.beta2_half_life", "training.batch_schedule"),
                           "'optimizer.beta2_half_life' sets one beta2 for the whole run; set "
                           "'optimizer.betas' with a 'training.batch_schedule'");
    return OK;
}

/* Learning rates of groups are multiples of optimizer.lr, whose schedule they follow. */
static Status check_group_lr(const YamlNode *root, const char *key, bool is_set, double lr) {
    if (!is_set || lr > 0) return OK;
    return PLACE_ERROR(
        place_of(root, key, "optimizer.lr"),
        "'%s' follows the schedule of 'optimizer.lr', which is 0; give it a positive "
        "number",
        key);
}

static Status check_head_group(const YamlNode *root, const Config *config) {
    const ConfigGroup *head = &config->optimizer.head;
    bool is_set = !isnan(head->lr) || !isnan(head->betas[0]) || !isnan(head->weight_decay);
    if (!is_set || !config->model.tie_embeddings) return OK;
    return PLACE_ERROR(place_of(root, "optimizer.head", "model.tie_embeddings"),
                       "'optimizer.head' matches no parameter, because the token embedding is the "
                       "output layer; use 'optimizer.embeddings', or set 'model.tie_embeddings' to "
                       "false");
}

static Status check_optimizer(const YamlNode *root, const Config *config) {
    const ConfigOptimizer *o = &config->optimizer;
    bool has_muon = o->matrices == CONFIG_MATRICES_MUON;
    TRY(check_group_lr(root, "optimizer.muon.lr", has_muon, o->lr));
    TRY(check_group_lr(root, "optimizer.embeddings.lr", !isnan(o->embeddings.lr), o->lr));
    TRY(check_group_lr(root, "optimizer.head.lr", !isnan(o->head.lr), o->lr));
    TRY(check_group_lr(root, "optimizer.vectors.lr", !isnan(o->vectors.lr), o->lr));
    TRY(check_group_lr(root, "optimizer.groups", o->groups != NULL, o->lr));
    TRY(check_head_group(root, config));
    GroupRule rules[GROUP_RULES_MAX];
    int count;
    TRY(group_rules_read(o->groups, rules, &count));
    return OK;
}

/* The gradients of float16 have the loss scale, which the scales of eight bits would follow a step
 * late. */
static Status check_matmul(const YamlNode *root, const Config *config) {
    const ConfigTraining *training = &config->training;
    bool fits = training->dtype != CONFIG_DTYPE_FLOAT16 && training->dtype != CONFIG_DTYPE_FLOAT64;
    if (training->matmul != CONFIG_MATMUL_FP8 || fits) return OK;
    return PLACE_ERROR(place_of(root, "training.matmul", "training.dtype"),
                       "'training.matmul' fp8 needs 'training.dtype' bfloat16, tf32 or float32");
}

static Status check_metric(const YamlNode *root, const Config *config) {
    const char *metric = config->report.metric;
    for (int i = 0; metrics_columns[i] != NULL; i++) {
        if (strcmp(metrics_columns[i], metric) == 0) return OK;
    }
    Place place = place_of(root, "report.metric", "report");
    const char *near = suggest(metric, metrics_columns);
    if (near != NULL)
        return PLACE_ERROR(place, "no such column of metrics.jsonl; did you mean '%s'?", near);
    return PLACE_ERROR(
        place, "no such column of metrics.jsonl; choose 'val/loss', 'train/loss' or 'tok_per_s'");
}

Status resolve_check(const YamlNode *root, const Config *config) {
    TRY(check_name(root, config));
    TRY(check_model(root, config));
    TRY(check_schedule(root, config));
    TRY(check_phases(root, config));
    TRY(check_optimizer(root, config));
    TRY(check_matmul(root, config));
    TRY(check_metric(root, config));
    TRY(sweep_check(config));
    return check_required(root, config);
}
