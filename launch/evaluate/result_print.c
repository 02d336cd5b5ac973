#include "launch/evaluate/result_print.h"

#include "core/base/escape.h"
#include "launch/base/readable.h"
#include "launch/base/streams.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct NamedNumber {
    const char *key;
    double value;
} NamedNumber;

/* One object: the model, the data, the number of `what` in it, and the numbers. */
static Status json_print(const EvaluationCase *about, const char *what, int64_t count,
                         const NamedNumber *numbers, size_t n) {
    json_t *object = json_object();
    json_object_set_new(object, "checkpoint", json_string(about->model));
    json_object_set_new(object, "step", json_integer(about->step));
    json_object_set_new(object, "data", json_string(about->data));
    json_object_set_new(object, what, json_integer(count));
    for (size_t i = 0; i < n; i++) {
        bool is_number = isfinite(numbers[i].value);
        json_object_set_new(object, numbers[i].key,
                            is_number ? json_real(numbers[i].value) : json_null());
    }
    char *line = json_dumps(object, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(17));
    json_decref(object);
    if (line == NULL) return OUT_OF_MEMORY("the result");
    puts(line);
    free(line);
    return OK;
}

static void evaluation_say(const EvaluationCase *about, const Evaluation *result) {
    char details[96];
    evaluation_details(result, details, sizeof details);
    escape_say(stdout, "loss %.6f%s | perplexity %.4g | %lld tokens of %s | %s, %s on %s, %.2f s",
               readable_real(result->loss), details, readable_real(exp(result->loss)),
               (long long)result->tokens, about->data, about->model, about->dtype, about->device,
               about->seconds);
}

Status evaluation_print(const EvaluationCase *about, const Evaluation *result) {
    const NamedNumber numbers[] = {{"loss", result->loss},
                                   {"stderr", result->std_error},
                                   {"perplexity", exp(result->loss)},
                                   {"bpb", result->bpb},
                                   {"seconds", about->seconds}};
    if (about->as_json)
        TRY(json_print(about, "tokens", result->tokens, numbers, sizeof numbers / sizeof *numbers));
    else
        evaluation_say(about, result);
    return streams_flush(OK);
}

/* One question has no standard error. */
static const char *error_say(double error, char text[32]) {
    text[0] = '\0';
    if (isfinite(error)) snprintf(text, 32, " +- %.4f", error);
    return text;
}

static void scores_say(const EvaluationCase *about, const ChoiceScores *scores) {
    char error[32], normalized_error[32];
    int64_t n = scores->questions;
    escape_say(stdout,
               "accuracy %.4f%s | per token %.4f%s | loss %.4f | %lld question%s of %s | %s, %s on "
               "%s, %.2f s",
               scores->accuracy, error_say(scores->std_error, error), scores->normalized,
               error_say(scores->normalized_error, normalized_error), readable_real(scores->loss),
               (long long)n, n == 1 ? "" : "s", about->data, about->model, about->dtype,
               about->device, about->seconds);
}

Status choice_scores_print(const EvaluationCase *about, const ChoiceScores *scores) {
    const NamedNumber numbers[] = {{"accuracy", scores->accuracy},
                                   {"accuracy_stderr", scores->std_error},
                                   {"accuracy_norm", scores->normalized},
                                   {"accuracy_norm_stderr", scores->normalized_error},
                                   {"loss", scores->loss},
                                   {"seconds", about->seconds}};
    if (about->as_json)
        TRY(json_print(about, "questions", scores->questions, numbers,
                       sizeof numbers / sizeof *numbers));
    else
        scores_say(about, scores);
    return streams_flush(OK);
}
