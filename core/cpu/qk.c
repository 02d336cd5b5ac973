/* One thread per row of heads; backward keeps one line of partial sums per part of the rows. In 16
 * bits a head is computed in the thread's line of the workspace. */
#include "core/ops/qk.h"

#include "core/cpu/real.h"

#include <omp.h>

DECLARE_KERNELS(qk);
DECLARE_KERNELS(qk_backward);

/* The pointers of a node of either direction, and its sizes. */
typedef struct Heads {
    int64_t q, total, HS, columns, pairs, rows, table_rows; /* total: of q and k */
    const real *table;
    const stored *gammas[2]; /* of q, of k */
    real *lines;             /* in 16 bits: (threads, HS) */
    bool norm;
    double eps;
} Heads;

static const void *optional(const Tensor *t) { return t == NULL ? NULL : tensor_data(t); }

static Heads heads_of(const Node *node, const Tensor *packed, const Tensor *table) {
    const QkOptions *o = &((const QkAttrs *)node->attrs)->options;
    const Tensor *workspace = node->workspace;
    size_t bytes = workspace == NULL ? 0 : tensor_bytes(workspace),
           lines = (size_t)omp_get_max_threads() * (size_t)o->HS * sizeof(real);
    return (Heads){.q = o->NH,
                   .total = o->NH + o->NH_kv,
                   .HS = o->HS,
                   .columns = tensor_columns(packed),
                   .pairs = table == NULL ? 0 : tensor_columns(table) / 2,
                   .rows = tensor_rows(packed),
                   .table_rows = table == NULL ? 1 : tensor_rows(table),
                   .table = optional(table),
                   .gammas = {optional(node->inputs[2]), optional(node->inputs[3])},
                   .lines =
                       IS_NARROW ? (real *)((char *)tensor_data(workspace) + bytes - lines) : NULL,
                   .norm = o->norm,
                   .eps = o->eps};
}

/* The head in `real`. */
static real *head_open(const Heads *h, stored *head) {
    if (!IS_NARROW) return (real *)head;
    real *line = h->lines + omp_get_thread_num() * h->HS;
    values_load(line, head, h->HS);
    return line;
}

static void head_close(const Heads *h, stored *head, const real *line) {
    if (IS_NARROW) values_store(head, line, h->HS);
}

/* Rotates in place by the row's angles (direction 1), or back (-1). */
static void head_rotate(const Heads *h, real *y, int64_t row, real direction) {
    const real *cosines = h->table + row % h->table_rows * 2 * h->pairs;
    const real *sines = cosines + h->pairs;
    real *second = y + h->pairs;
#pragma omp simd
    for (int64_t i = 0; i < h->pairs; i++) {
        real a = y[i], b = second[i], sine = direction * sines[i];
        y[i] = a * cosines[i] - b * sine;
        second[i] = b * cosines[i] + a * sine;
    }
}

/* Returns rstd. */
static real head_normalize(const Heads *h, real *y, const stored *x, const stored *gamma) {
    real squares = 0;
#pragma omp simd reduction(+ : squares)
    for (int64_t j = 0; j < h->HS; j++) squares += load(x[j]) * load(x[j]);
    real mean = squares / (real)h->HS;
    real rstd = isfinite(mean) ? 1 / (real)sqrt((double)mean + h->eps) : (real)NAN;
#pragma omp simd
    for (int64_t j = 0; j < h->HS; j++)
        y[j] = load(x[j]) * rstd * (gamma == NULL ? 1 : load(gamma[j]));
    return rstd;
}

static void row_forward(const Heads *h, int64_t row, const stored *x, stored *y, real *rstd) {
    for (int64_t head = 0; head < h->total; head++) {
        const stored *gamma = h->gammas[head >= h->q];
        real *out = head_open(h, y + head * h->HS);
        if (h->norm) {
            real scale = head_normalize(h, out, x + head * h->HS, gamma);
            if (rstd != NULL) rstd[head] = scale;
        }
        if (h->pairs > 0) head_rotate(h, out, row, 1);
        head_close(h, y + head * h->HS, out);
    }
    int64_t first = h->total * h->HS;
    if (y != x) memcpy(y + first, x + first, (size_t)(h->columns - first) * sizeof *y);
}

Status KERNEL(qk)(const Node *node, void *stream) {
    (void)stream;
    Heads h = heads_of(node, node->inputs[0], node->inputs[1]);
    const stored *x = tensor_data(node->inputs[0]);
    stored *y = tensor_data(node->outputs[0]);
    real *rstd = node->outputs[1] == NULL ? NULL : tensor_data(node->outputs[1]);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < h.rows; row++) {
        row_forward(&h, row, x + row * h.columns, y + row * h.columns,
                    rstd == NULL ? NULL : rstd + row * h.total);
    }
    return OK;
}

/* With n = x rstd and g = d gamma: d = rstd (g - n mean(g n)); dgamma, if given, += d n. */
static void head_backward(const Heads *h, real *d, const stored *x, real rstd, const stored *gamma,
                          real *dgamma) {
    real sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < h->HS; j++)
        sum += d[j] * (gamma == NULL ? 1 : load(gamma[j])) * load(x[j]) * rstd;
    real mean = sum / (real)h->HS;
    if (dgamma != NULL) {
#pragma omp simd
        for (int64_t j = 0; j < h->HS; j++) dgamma[j] += d[j] * load(x[j]) * rstd;
    }
#pragma omp simd
    for (int64_t j = 0; j < h->HS; j++) {
        real g = d[j] * (gamma == NULL ? 1 : load(gamma[j]));
        d[j] = rstd * (g - load(x[j]) * rstd * mean);
    }
}

/* One part of the rows; `parts` holds the part's lines of dq_gamma and dk_gamma, or is NULL. */
static void part_backward(const Node *node, const Heads *h, int64_t part, real *parts) {
    const stored *x = optional(node->inputs[1]);
    const real *rstd = optional(node->inputs[4]);
    stored *d = tensor_data(node->outputs[0]);
    int64_t first, end;
    range_part(h->rows, QK_PARTS, part, &first, &end);
    if (parts != NULL) memset(parts, 0, 2 * (size_t)h->HS * sizeof *parts);
    for (int64_t row = first; row < end; row++) {
        for (int64_t head = 0; head < h->total; head++) {
            bool is_k = head >= h->q;
            int64_t at = row * h->columns + head * h->HS;
            real *line = head_open(h, d + at);
            if (h->pairs > 0) head_rotate(h, line, row, -1);
            if (h->norm) {
                head_backward(h, line, x + at, rstd[row * h->total + head], h->gammas[is_k],
                              parts == NULL ? NULL : parts + (is_k ? h->HS : 0));
            }
            head_close(h, d + at, line);
        }
    }
}

static void parts_sum(const Tensor *out, const real *parts, int64_t HS, bool accumulate) {
    if (out == NULL) return;
    real *sum = tensor_data(out);
    if (!accumulate) memset(sum, 0, (size_t)HS * sizeof *sum);
    for (int64_t part = 0; part < QK_PARTS; part++) {
#pragma omp simd
        for (int64_t j = 0; j < HS; j++) sum[j] += parts[2 * part * HS + j];
    }
}

Status KERNEL(qk_backward)(const Node *node, void *stream) {
    (void)stream;
    const QkAttrs *attrs = node->attrs;
    Heads h = heads_of(node, node->outputs[0], node->inputs[0]);
    bool has_gamma = node->outputs[1] != NULL || node->outputs[2] != NULL;
    real *parts = has_gamma ? tensor_data(node->workspace) : NULL;
#pragma omp parallel for schedule(static)
    for (int64_t part = 0; part < QK_PARTS; part++)
        part_backward(node, &h, part, parts == NULL ? NULL : parts + 2 * part * h.HS);
    if (parts == NULL) return OK;
    parts_sum(node->outputs[1], parts, h.HS, attrs->accumulate_q);
    parts_sum(node->outputs[2], parts + h.HS, h.HS, attrs->accumulate_k);
    return OK;
}
