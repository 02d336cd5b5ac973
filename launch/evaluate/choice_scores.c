#include "launch/evaluate/choice_scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Scoring {
    Experiment *e;
    const ChoiceSet *set;
    int64_t B, T;
    int32_t *tokens, *targets; /* (B, T) */
    void *losses;              /* (B, T) of the step's dtype */
    double *sums;              /* of each choice */
} Scoring;

static double loss_at(const Scoring *s, int64_t i) {
    bool is_wide = s->e->recorded.step.losses->dtype == DTYPE_F64;
    return is_wide ? ((const double *)s->losses)[i] : (double)((const float *)s->losses)[i];
}

/* Row b is choice i: its tokens but the last are inputs, its tokens but the first are targets. */
static void row_fill(Scoring *s, int64_t i, int64_t b) {
    const Choice *choice = &s->set->choices[i];
    const int32_t *from = s->set->tokens.tokens + choice->at;
    size_t inputs = (size_t)(choice->context + choice->length - 1);
    memcpy(s->tokens + b * s->T, from, inputs * sizeof *from);
    memcpy(s->targets + b * s->T, from + 1, inputs * sizeof *from);
}

static double row_sum(const Scoring *s, int64_t i, int64_t b) {
    const Choice *choice = &s->set->choices[i];
    int64_t first = b * s->T + choice->context - 1;
    double sum = 0;
    for (int64_t t = first; t < first + choice->length; t++) sum += loss_at(s, t);
    return sum;
}

static Status batch_score(Scoring *s, int64_t first) {
    Experiment *e = s->e;
    int64_t left = s->set->n_choices - first, rows = left < s->B ? left : s->B;
    size_t bytes = (size_t)(s->B * s->T) * sizeof *s->tokens;
    watchdog_progress(e->watchdog, "evaluation");
    memset(s->tokens, 0, bytes);
    memset(s->targets, 0, bytes);
    for (int64_t b = 0; b < rows; b++) row_fill(s, first + b, b);
    TRY(device_upload(e->device, e->recorded.step.tokens, s->tokens));
    TRY(device_upload(e->device, e->recorded.step.targets, s->targets));
    TRY(device_replay(e->device, e->recorded.training->programs[EVALUATION].program));
    TRY(device_download(e->device, s->losses, e->recorded.step.losses));
    for (int64_t b = 0; b < rows; b++) s->sums[first + b] = row_sum(s, first + b, b);
    return OK;
}

/* Ranks take batches in turn; the sums of other ranks are 0 until all are added. */
static Status choices_score(Scoring *s) {
    Experiment *e = s->e;
    int64_t R = world_size(e->world);
    TRY(training_gather_weights(e->recorded.training));
    TRY(device_upload(e->device, e->recorded.step.step, &(StepState){.loss_scale = 1}));
    for (int64_t i = world_rank(e->world) * s->B; i < s->set->n_choices; i += R * s->B)
        TRY(batch_score(s, i));
    return world_sum_f64(e->world, s->sums, s->set->n_choices);
}

/* The choice of the least loss, or of the least loss per token; the first of several. */
static int64_t choice_of(const Scoring *s, const ChoiceQuestion *question, bool per_token) {
    int64_t best = 0;
    double least = INFINITY;
    for (int64_t i = 0; i < question->count; i++) {
        double loss = s->sums[question->first + i];
        if (per_token) loss /= (double)s->set->choices[question->first + i].length;
        if (loss < least) best = i;
        if (loss < least) least = loss;
    }
    return best;
}

/* A loss that is not finite is neither less nor greater than others, so there is no answer. */
static bool all_are_finite(const Scoring *s) {
    for (int64_t i = 0; i < s->set->n_choices; i++) {
        if (!isfinite(s->sums[i])) return false;
    }
    return true;
}

static double error_of(double p, int64_t n) {
    return n > 1 ? sqrt(p * (1 - p) / (double)(n - 1)) : (double)NAN;
}

static void scores_take(const Scoring *s, ChoiceScores *out) {
    int64_t n = s->set->n_questions, right = 0, normalized = 0, tokens = 0;
    double nats = 0;
    for (int64_t i = 0; i < n; i++) {
        const ChoiceQuestion *question = &s->set->questions[i];
        right += choice_of(s, question, false) == question->answer;
        normalized += choice_of(s, question, true) == question->answer;
        nats += s->sums[question->first + question->answer];
        tokens += s->set->choices[question->first + question->answer].length;
    }
    double answers = all_are_finite(s) ? (double)n : (double)NAN;
    double p = (double)right / answers, q = (double)normalized / answers;
    *out = (ChoiceScores){n, p, error_of(p, n), q, error_of(q, n), nats / (double)tokens};
}

Status choice_scores_find(Experiment *e, const ChoiceSet *set, ChoiceScores *out) {
    Scoring s = {.e = e, .set = set, .B = e->recorded.step.tokens->shape[0], .T = e->T};
    s.tokens = malloc(tensor_bytes(e->recorded.step.tokens));
    s.targets = malloc(tensor_bytes(e->recorded.step.targets));
    s.losses = malloc(tensor_bytes(e->recorded.step.losses));
    s.sums = calloc((size_t)set->n_choices, sizeof *s.sums);
    bool has_memory = s.tokens != NULL && s.targets != NULL && s.losses != NULL && s.sums != NULL;
    Status status =
        has_memory ? choices_score(&s) : OUT_OF_MEMORY("%lld choices", (long long)set->n_choices);
    if (!failed(status)) scores_take(&s, out);
    free(s.tokens);
    free(s.targets);
    free(s.losses);
    free(s.sums);
    return status;
}
