#include "launch/run/evaluation.h"

#include "core/base/arena.h"
#include "core/convert.h"
#include "data/token_text.h"
#include "launch/base/signals.h"

#include <math.h>
#include <stdlib.h>

struct Evaluator {
    Experiment *e;
    int64_t B;
    int32_t *tokens, *targets; /* (B, T) */
    void *losses;              /* (B, T) of the step's dtype */
    double *sums;              /* (count + 1): of each window; then the set's bytes of text */
    int32_t *text_lengths;     /* (V); NULL: unknown tokenizer */
    EvaluationBatchFn observe; /* NULL: nobody does */
    void *observer;
    Arena arena;
    const char *note;
};

/* An unknown tokenizer is no error: only bits per byte need it. */
static Status lengths_find(Evaluator *v) {
    const TokenSet *tokens = v->e->val_tokens;
    TokenizerId id = token_set_tokenizer_id(tokens);
    const char *path = token_set_path(tokens);
    Status status = tokenizer_text_lengths(id, path, v->e->resolved.vocab_size, &v->text_lengths);
    if (failed(status) && status.code != STATUS_DATA) return status;
    if (!failed(status) && id.name[0] != '\0') return OK;
    v->note = failed(status)
                  ? arena_printf(&v->arena, "no bits/byte: %s", status_message())
                  : arena_printf(&v->arena, "%s names no tokenizer; GPT-2's is assumed", path);
    return v->note == NULL ? OUT_OF_MEMORY("an evaluation") : OK;
}

Status evaluator_create(Experiment *e, Evaluator **out) {
    Evaluator *v = calloc(1, sizeof *v);
    if (v == NULL) return OUT_OF_MEMORY("an evaluation");
    *out = v;
    v->e = e;
    v->B = e->recorded.step.tokens->shape[0];
    v->tokens = malloc(tensor_bytes(e->recorded.step.tokens));
    v->targets = malloc(tensor_bytes(e->recorded.step.targets));
    v->losses = malloc(tensor_bytes(e->recorded.step.losses));
    v->sums = malloc(((size_t)e->val.count + 1) * sizeof *v->sums);
    if (v->tokens == NULL || v->targets == NULL || v->losses == NULL || v->sums == NULL) {
        return OUT_OF_MEMORY("an evaluation of %lld windows", (long long)e->val.count);
    }
    return lengths_find(v);
}

void evaluator_destroy(Evaluator **evaluator) {
    if (evaluator == NULL || *evaluator == NULL) return;
    Evaluator *v = *evaluator;
    free(v->tokens);
    free(v->targets);
    free(v->losses);
    free(v->sums);
    free(v->text_lengths);
    arena_free(&v->arena);
    free(v);
    *evaluator = NULL;
}

void evaluator_observe(Evaluator *evaluator, EvaluationBatchFn fn, void *context) {
    evaluator->observe = fn;
    evaluator->observer = context;
}

const char *evaluator_note(const Evaluator *evaluator) { return evaluator->note; }

static double loss_at(const Evaluator *v, int64_t i) {
    return real_load(v->losses, v->e->recorded.step.losses->dtype, i);
}

/* Row b of the batch is window i of the set. Padding beyond the length of the window does not
 * count. */
static void window_take(Evaluator *v, int64_t i, int64_t b) {
    const EvaluationSet *set = &v->e->val;
    EvaluationWindow window = evaluation_set_window(set, i);
    int64_t first = b * set->T + window.skipped, end = b * set->T + window.length, bytes = 0;
    double sum = 0;
    for (int64_t t = first; t < end; t++) sum += loss_at(v, t);
    v->sums[i] = sum;
    if (v->text_lengths == NULL) return;
    for (int64_t t = first; t < end; t++) bytes += v->text_lengths[v->targets[t]];
    v->sums[set->count] += (double)bytes;
}

static Status batch_run(Evaluator *v, int64_t first) {
    Experiment *e = v->e;
    int64_t left = e->val.count - first, rows = left < v->B ? left : v->B;
    watchdog_progress(e->watchdog, "evaluation");
    TRY(evaluation_set_fill(&e->val, first, v->B, v->tokens, v->targets));
    TRY(device_upload(e->device, e->recorded.step.tokens, v->tokens));
    TRY(device_upload(e->device, e->recorded.step.targets, v->targets));
    TRY(device_replay(e->device, e->recorded.training->programs[EVALUATION].program));
    TRY(device_download(e->device, v->losses, e->recorded.step.losses));
    for (int64_t b = 0; b < rows; b++) window_take(v, first + b, b);
    if (v->observe == NULL) return OK;
    return v->observe(v->observer, first, rows, v->tokens, v->targets);
}

/* Distributes batches over the ranks in turn. For windows of other ranks this rank adds zero,
 * which is exact. */
static Status windows_run(Evaluator *v) {
    Experiment *e = v->e;
    int64_t R = world_size(e->world), count = e->val.count;
    for (int64_t i = 0; i <= count; i++) v->sums[i] = 0;
    if (v->text_lengths == NULL) v->sums[count] = NAN;
    TRY(training_gather_weights(e->recorded.training));
    TRY(device_upload(e->device, e->recorded.step.step, &(StepState){.loss_scale = 1}));
    for (int64_t first = world_rank(e->world) * v->B; first < count; first += R * v->B) {
        if (R == 1 && signals_number() != 0) return ERROR(STATUS_STOPPED, "the evaluation was cut");
        TRY(batch_run(v, first));
    }
    return world_sum_f64(e->world, v->sums, count + 1);
}

typedef double (*TermFn)(const Evaluator *v, int64_t i, double mean);

static double term_sum(const Evaluator *v, int64_t i, double mean) {
    (void)mean;
    return v->sums[i];
}

/* The squared difference between the sum of a window and its expected sum. */
static double term_deviation(const Evaluator *v, int64_t i, double mean) {
    EvaluationWindow window = evaluation_set_window(&v->e->val, i);
    double difference = v->sums[i] - mean * (double)(window.length - window.skipped);
    return difference * difference;
}

/* Adds terms first .. first + n - 1 as a binary tree. */
static double tree_sum(const Evaluator *v, TermFn term, double mean, int64_t first, int64_t n) {
    if (n == 1) return term(v, first, mean);
    int64_t half = n / 2;
    return tree_sum(v, term, mean, first, half) + tree_sum(v, term, mean, first + half, n - half);
}

/* The mean over tokens is a ratio of two sums over windows: losses and lengths. Its standard
 * error is that of a ratio estimate (Cochran, Sampling Techniques, 3rd edition, 1977, equation
 * 6.13); the set counts as a sample of a long text. */
Status evaluator_run(Evaluator *v, Evaluation *out) {
    int64_t count = v->e->val.count;
    TRY(windows_run(v));
    double tokens = (double)v->e->val.targets, nats = tree_sum(v, term_sum, 0, 0, count);
    double mean = nats / tokens, squares = tree_sum(v, term_deviation, mean, 0, count);
    double bytes = v->sums[count];
    *out = (Evaluation){.loss = mean, .tokens = v->e->val.targets, .std_error = NAN, .bpb = NAN};
    if (count > 1) out->std_error = sqrt(squares * (double)count / (double)(count - 1)) / tokens;
    if (bytes > 0) out->bpb = nats / M_LN2 / bytes;
    return OK;
}

void evaluation_details(const Evaluation *evaluation, char *text, size_t bytes) {
    char error[40] = "", bits[40] = "";
    if (isfinite(evaluation->std_error))
        snprintf(error, sizeof error, " +- %.4f", evaluation->std_error);
    if (isfinite(evaluation->bpb))
        snprintf(bits, sizeof bits, " | %.4f bits/byte", evaluation->bpb);
    snprintf(text, bytes, "%s%s", error, bits);
}
