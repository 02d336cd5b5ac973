#include "launch/study/report/remarks.h"

#include "core/perf/median.h"
#include "launch/study/report/text.h"

#include <math.h>
#include <string.h>

static const double ALIKE_RATES = 0.15, LOWEST_RATE = 0.7;

static bool is_alike(const Point *a, const Point *b) {
    return a->series_index == b->series_index && (a->x == b->x || (isnan(a->x) && isnan(b->x)));
}

/* The median rate of the finished points of the same series and x; NaN if there is no other. */
static double rate_alike(const Results *s, const Point *p, double *rates) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_points; i++) {
        const Point *other = &s->points[i];
        if (is_alike(other, p) && point_is(other, "done") && !isnan(other->tok_per_s))
            rates[n++] = other->tok_per_s;
    }
    return n < 2 ? NAN : values_median(rates, n);
}

/* The highest rate of a smaller batch of the series; NaN if there is none. */
static double rate_of_smaller(const Results *s, const Point *p) {
    double most = NAN;
    for (size_t i = 0; i < s->n_points; i++) {
        const Point *other = &s->points[i];
        bool is_smaller = other->series_index == p->series_index && other->batch < p->batch;
        if (is_smaller && point_is(other, "done")) most = fmax(most, other->tok_per_s);
    }
    return most;
}

static const char *percent_of(Results *s, double share, const char *whole) {
    return or_empty(arena_printf(&s->arena, "%s: %.0f%% of %s", share < 1 ? "slow" : "fast",
                                 100 * share, whole));
}

static const char *rate_remark(Results *s, const Point *p, double *rates) {
    double alike = p->tok_per_s / rate_alike(s, p, rates),
           predicted = p->tok_per_s / p->predicted_rate,
           smaller = p->tok_per_s / rate_of_smaller(s, p);
    bool follows_batch = s->x_key != NULL && strcmp(s->x_key, "data.batch_size") == 0;
    if (fabs(alike - 1) > ALIKE_RATES) return percent_of(s, alike, "the rate of its seeds");
    if (!isnan(alike)) return "";
    if (predicted < LOWEST_RATE) return percent_of(s, predicted, "the predicted rate");
    if (follows_batch && smaller < LOWEST_RATE)
        return percent_of(s, smaller, "the rate of a smaller batch");
    return "";
}

static const char *steps_remark(Results *s, const Point *p) {
    if (!(p->steps < FEW_STEPS)) return "";
    return or_empty(
        arena_printf(&s->arena, "only %.0f step%s", p->steps, p->steps == 1 ? "" : "s"));
}

static void remark_add(Results *s, Point *p, const char *remark) {
    const char *comma = *p->remark != '\0' && *remark != '\0' ? ", " : "";
    p->remark = or_empty(arena_printf(&s->arena, "%s%s%s", p->remark, comma, remark));
}

Status remarks_find(Results *s) {
    double *rates = arena_alloc(&s->arena, s->n_points * sizeof *rates);
    if (rates == NULL) return OUT_OF_MEMORY("a report");
    for (size_t i = 0; i < s->n_points; i++) {
        Point *p = &s->points[i];
        if (!point_is(p, "done")) continue;
        p->remark = p->is_infinite ? "loss not finite" : "";
        remark_add(s, p, steps_remark(s, p));
        remark_add(s, p, rate_remark(s, p, rates));
    }
    return OK;
}

size_t remarks_count(const Results *s) {
    size_t count = 0;
    for (size_t i = 0; i < s->n_points; i++) count += *s->points[i].remark != '\0';
    return count;
}
