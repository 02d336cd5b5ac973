#include "tests/gpu/attention_matrix_helper.h"

#include "tests/harness.h"
#include "tests/nn/attention_run_helper.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const DType dtypes[ARITHMETICS] = {DTYPE_F32, DTYPE_F32, DTYPE_F16, DTYPE_BF16};
static const char *const precision_names[ARITHMETICS] = {"f32", "tf32", "f16", "bf16"};
static const double magnitude = 2;

/* math_bars: the error allowed to math itself. floors: added to twice math's error for the other
 * backends, for cases where that is almost 0: math is exact for a single key, and cuBLASLt supports
 * few shapes in tf32. */
static const double math_bars[ARITHMETICS] = {1e-5, 5e-3, 5e-3, 4e-2};
static const double floors[ARITHMETICS] = {1e-6, 1.5e-3, 2e-4, 1e-3},
                    thin_floors[ARITHMETICS] = {1e-6, 1.5e-3, 6e-4, 5e-3};
static const double lse_bars[ARITHMETICS] = {2e-5, 1e-2, 2e-4,
                                             2e-4}; /* of backends that keep scores in f32 */

static const int compared[] = {ATT_OUT, ATT_DQ, ATT_DK, ATT_DV, ATT_DBIAS};
static const char *const compared_names[] = {"out", "dq", "dk", "dv", "dbias"};
enum { COMPARED = 5 };

typedef struct Item {
    AttentionShape shape;
    AttentionCall call;
    Arithmetic arithmetic;
    AttentionData expected;
    bool made;
} Item;

static const StepState step = {
    .seed = 11, .step = 5, .first_sample = 3, .adam_step = 6, .loss_scale = 1};

static void item_make(Item *item) {
    item->call = attention_call_of(item->shape, dtypes[item->arithmetic]);
    item->made = attention_data_create(&item->shape, &item->call, magnitude, &item->expected);
    if (item->made) attention_reference(&item->call, &step, &item->expected);
}

static bool is_thin(const Item *item) { return item->call.Tq == 1 || item->call.Tk == 1; }

/* The error relative to the reference, with 0.1 added to its root mean square (1 if rows see a
 * single key): a gradient may be zero, and its error is then the rounding of the terms that
 * cancel. */
static double distance(const Item *item, const AttentionData *found, int which) {
    const AttentionData *expected = &item->expected;
    double difference = 0, norm = (is_thin(item) ? 1 : 1e-2) * (double)expected->counts[which];
    for (int64_t i = 0; i < expected->counts[which]; i++) {
        double x = found->values[which][i], y = expected->values[which][i];
        difference += (x - y) * (x - y);
        norm += y * y;
    }
    return norm > 0 ? sqrt(difference / norm) : 0;
}

static void describe(const Item *item, const char *backend, const char *what) {
    static const char *const masks[] = {"full", "upper", "lower"}, *const ranges[] = {
                                                                       "", " lengths", " packed",
                                                                       " docs"};
    const AttentionShape *s = &item->shape;
    printf("%s %s B%d NH%d/%d T%dx%d HS%d %s%s w%d p%.1f bias%d: %s", backend,
           precision_names[item->arithmetic], (int)s->B, (int)s->NH, (int)s->NH_kv, (int)s->Tq,
           (int)s->Tk, (int)s->HS, masks[s->causal], ranges[s->ranges], (int)s->window, s->dropout,
           s->bias, what);
}

/* Rows without keys: lse is -inf, out and dq are 0. Others: the largest error of lse, including
 * NaN. */
static double lse_error(const Item *item, const AttentionData *found, bool *zeros) {
    const AttentionCall *c = &item->call;
    double worst = 0;
    for (int64_t row = 0; row < c->B * c->NH * c->Tq; row++) {
        double expected = item->expected.values[ATT_LSE][row], lse = found->values[ATT_LSE][row];
        int64_t b = row / c->Tq / c->NH, h = row / c->Tq % c->NH, i = row % c->Tq;
        if (isfinite(expected)) {
            if (!(fabs(lse - expected) <= worst)) worst = fabs(lse - expected);
            continue;
        }
        const double *out =
            found->values[ATT_OUT] + b * c->out.batch + h * c->out.head + i * c->out.token;
        const double *dq = found->values[ATT_DQ] + b * c->q.batch + h * c->q.head + i * c->q.token;
        *zeros &= lse == expected;
        for (int64_t d = 0; d < c->HS; d++) *zeros &= out[d] == 0 && dq[d] == 0;
    }
    return worst;
}

static bool same_outputs(const AttentionData *a, const AttentionData *b) {
    for (int which = ATT_OUT; which < ATT_TENSORS; which++) {
        if (memcmp(a->values[which], b->values[which], (size_t)a->counts[which] * sizeof(double)) !=
            0)
            return false;
    }
    return true;
}

/* Fills the item's inputs with random numbers and its outputs with NaN. Keeps the item's ranges. */
static bool inputs_copy(const Item *item, AttentionData *out) {
    bool made = true;
    out->ranges = item->expected.ranges;
    for (int which = 0; which < ATT_TENSORS; which++) {
        size_t count = (size_t)(out->counts[which] = item->expected.counts[which]);
        double *values = out->values[which] = malloc(count * sizeof *values + 1);
        made &= values != NULL;
        if (values == NULL) continue;
        if (which < ATT_OUT) memcpy(values, item->expected.values[which], count * sizeof *values);
        for (size_t i = 0; which >= ATT_OUT && i < count; i++) values[i] = NAN;
    }
    return made;
}

static void copy_free(AttentionData *data) {
    data->ranges = (AttentionRanges){0};
    attention_data_destroy(data);
}

static bool run(const Item *item, const AttentionBackend *backend, Device *gpu,
                AttentionData *out) {
    bool made = inputs_copy(item, out);
    CHECK(made);
    return made && CHECK_OK(attention_by(backend, &item->call, gpu, &step, out));
}

static void compare(const Item *item, const AttentionBackend *backend, const AttentionData *found,
                    const double (*bars)[COMPARED]) {
    Arithmetic in = item->arithmetic;
    bool zeros = true;
    for (int t = 0; t < COMPARED; t++) {
        double error = distance(item, found, compared[t]);
        double bar = bars == NULL ? math_bars[in]
                                  : 2 * (*bars)[t] + (is_thin(item) ? thin_floors : floors)[in];
        if (!(error <= bar)) {
            describe(item, backend->forward.name, compared_names[t]);
            printf(" errs by %.3g, allowed %.3g\n", error, bar);
        }
        CHECK(error <= bar);
    }
    double lse = lse_error(item, found, &zeros),
           lse_bar = backend->saves_weights ? 0.1 : lse_bars[in];
    if (!zeros) describe(item, backend->forward.name, "rows without keys are not zeros\n");
    CHECK(zeros);
    if (!(lse <= lse_bar)) {
        describe(item, backend->forward.name, "lse");
        printf(" errs by %.3g, allowed %.3g\n", lse, lse_bar);
    }
    CHECK(lse <= lse_bar);
}

static void repeats_check(const Item *item, const AttentionBackend *backend, Device *gpu,
                          const AttentionData *found) {
    AttentionData again = {0};
    if (run(item, backend, gpu, &again)) {
        bool repeats = same_outputs(found, &again);
        if (!repeats) describe(item, backend->forward.name, "does not repeat bit by bit\n");
        CHECK(repeats);
    }
    copy_free(&again);
}

/* Checks one backend: accuracy and repeatability (of the quadratic ones only with a bias, because
 * the cases in a program also repeat them). Returns its errors in `errors` unless NULL. */
static void backend_check(const Item *item, const AttentionBackend *backend, Device *gpu,
                          const double (*bars)[COMPARED], double (*errors)[COMPARED]) {
    AttentionData found = {0};
    if (run(item, backend, gpu, &found)) {
        compare(item, backend, &found, bars);
        if (!backend->saves_weights || item->call.bias != BIAS_NONE)
            repeats_check(item, backend, gpu, &found);
        for (int t = 0; errors != NULL && t < COMPARED; t++)
            (*errors)[t] = distance(item, &found, compared[t]);
    }
    copy_free(&found);
}

static void item_check(const Item *item, Device *gpu) {
    extern const AttentionBackend attention_math_cuda;
    double bars[COMPARED] = {0};
    gpu->tf32 = item->arithmetic == IN_TF32;
    CHECK(item->made);
    if (!item->made) return;
    backend_check(item, &attention_math_cuda, gpu, NULL, &bars);
    for (int i = 0; attention_backends[i] != NULL; i++) {
        const AttentionBackend *backend = attention_backends[i];
        if (backend->forward.device != DEVICE_CUDA || backend == &attention_math_cuda) continue;
        if (attention_refusal(backend, &item->call, &gpu->target) != NULL) continue;
        backend_check(item, backend, gpu, (const double(*)[COMPARED]) & bars, NULL);
    }
    gpu->tf32 = false;
}

void matrix_check(Device *gpu, const AttentionShape *shapes, int count) {
    Item *items = calloc((size_t)count * ARITHMETICS + 1, sizeof *items);
    int made = 0;
    CHECK(items != NULL);
    if (items == NULL) return;
    for (int i = 0; i < count; i++) {
        for (Arithmetic in = 0; in < ARITHMETICS; in++)
            items[made++] = (Item){.shape = shapes[i], .arithmetic = in};
    }
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < made; i++) item_make(&items[i]);
    for (int i = 0; i < made; i++) {
        item_check(&items[i], gpu);
        attention_data_destroy(&items[i].expected);
    }
    free(items);
}
