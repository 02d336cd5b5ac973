#include "launch/bench/numerics_composition.h"
#include "core/convert.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>

static double rounded(double x, DType dtype) {
    double place;
    real_store(&place, dtype, 0, x);
    return real_load(&place, dtype, 0);
}

/* Dense q and k of a head, and one row of scores. */
typedef struct HeadRows {
    const NumericsShape *shape;
    DType dtype;
    Composition composition;
    const double *qkv; /* pointer to the head's first q */
    double *out;
    double *q, *k, *row;
} HeadRows;

/* q and k as factors of the product. */
static void factors(const HeadRows *head) {
    int64_t T = head->shape->T, HS = head->shape->HS, C = head->shape->NH * HS;
    bool scales = head->composition == COMPOSITION_PRESCALED;
    double factor = scales ? 1 / sqrt(sqrt((double)HS)) : 1;
    for (int64_t t = 0; t < T; t++) {
        for (int64_t d = 0; d < HS; d++) {
            double q = head->qkv[t * 3 * C + d], k = head->qkv[t * 3 * C + C + d];
            head->q[t * HS + d] = scales ? rounded(q * factor, head->dtype) : q;
            head->k[t * HS + d] = scales ? rounded(k * factor, head->dtype) : k;
        }
    }
}

static double score(const HeadRows *head, int64_t i, int64_t j) {
    int64_t HS = head->shape->HS;
    double sum = 0, scale = head->composition == COMPOSITION_PRESCALED ? 1 : 1 / sqrt((double)HS);
    for (int64_t d = 0; d < HS; d++) sum += head->q[i * HS + d] * head->k[j * HS + d];
    sum = rounded(sum, head->dtype);
    return scale == 1 ? sum : rounded(sum * scale, head->dtype);
}

/* Not fmax, which would drop a NaN. */
static void softmax(double *x, int64_t count, DType dtype) {
    double maximum = x[0], sum = 0;
    for (int64_t j = 1; j < count; j++) maximum = x[j] > maximum ? x[j] : maximum;
    for (int64_t j = 0; j < count; j++) sum += x[j] = exp(x[j] - maximum);
    for (int64_t j = 0; j < count; j++) x[j] = rounded(x[j] / sum, dtype);
}

static void query_forward(const HeadRows *head, int64_t i) {
    int64_t HS = head->shape->HS, C = head->shape->NH * HS,
            end = head->shape->causal ? i + 1 : head->shape->T;
    for (int64_t j = 0; j < end; j++) head->row[j] = score(head, i, j);
    softmax(head->row, end, head->dtype);
    for (int64_t d = 0; d < HS; d++) {
        double sum = 0;
        for (int64_t j = 0; j < end; j++) sum += head->row[j] * head->qkv[j * 3 * C + 2 * C + d];
        head->out[i * C + d] = rounded(sum, head->dtype);
    }
}

Status composition_forward(Composition composition, const NumericsShape *s, DType dtype,
                           const double *qkv, double *out) {
    int64_t C = s->NH * s->HS, per_thread = 2 * s->T * s->HS + s->T;
    double *scratch = malloc((size_t)(per_thread * omp_get_max_threads()) * sizeof *scratch);
    if (scratch == NULL) return OUT_OF_MEMORY("a reference");
#pragma omp parallel for schedule(dynamic)
    for (int64_t index = 0; index < s->B * s->NH; index++) {
        int64_t b = index / s->NH, h = index % s->NH;
        double *q = scratch + per_thread * omp_get_thread_num();
        HeadRows head = {.shape = s,
                         .dtype = dtype,
                         .composition = composition,
                         .qkv = qkv + b * s->T * 3 * C + h * s->HS,
                         .out = out + b * s->T * C + h * s->HS,
                         .q = q,
                         .k = q + s->T * s->HS,
                         .row = q + 2 * s->T * s->HS};
        factors(&head);
        for (int64_t i = 0; i < s->T; i++) query_forward(&head, i);
    }
    free(scratch);
    return OK;
}

double relative_error(const double *x, const double *exact, int64_t count) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += (x[i] - exact[i]) * (x[i] - exact[i]);
        norm += exact[i] * exact[i];
    }
    return sqrt(difference / norm);
}
