#include "launch/study/report/answer.h"

#include "launch/study/metric.h"
#include "launch/study/report/axis.h"
#include "launch/study/report/labels.h"
#include "launch/study/report/remarks.h"
#include "launch/study/report/text.h"
#include "launch/study/statistics.h"

#include <math.h>
#include <string.h>

enum { MOST_SERIES = 64, MOST_COMPARISONS = 48 };

typedef struct Speaker {
    Results *s;
    const Mark *marks;
    size_t n;
    Answer *answer;
    double *a, *b; /* values of pairs */
    size_t cut;    /* comparisons beyond the most */
} Speaker;

#define SAY(speaker, ...) or_empty(arena_printf(&(speaker)->s->arena, __VA_ARGS__))

void answer_say(Answer *answer, const char *sentence) {
    if (answer->count < answer->most) answer->more[answer->count++] = sentence;
}

void answer_drop_comparisons(Answer *answer) {
    answer->count -= answer->comparisons;
    memmove(answer->more, answer->more + answer->comparisons, answer->count * sizeof *answer->more);
    answer->comparisons = 0;
}

static void say(Speaker *k, const char *sentence) { answer_say(k->answer, sentence); }

static void say_comparison(Speaker *k, const char *sentence) {
    if (k->answer->comparisons == MOST_COMPARISONS) {
        k->cut++;
        return;
    }
    k->answer->comparisons++;
    say(k, sentence);
}

/* ---- words ----------------------------------------------------------------------------------- */

/* "flash at batch 39" */
static const char *mark_name(Speaker *k, const Mark *m) {
    const char *series = k->s->series_names[m->series];
    bool has_x = k->s->x_key != NULL && !isnan(m->x);
    if (!has_x) return *series == '\0' ? "the config" : series;
    return SAY(k, "%s%s%s %s", series, *series == '\0' ? "" : " at ", key_text(k->s->x_key),
               x_text(k->s, m->x));
}

/* With two digits of the uncertainty: "0.061 ± 0.008"; for one value the value alone. */
static const char *interval_text(Speaker *k, double value, double half) {
    if (isnan(half))
        return number_text(&k->s->arena, metric_is_loss(k->s->metric) ? "%.4f" : "%.4g", value);
    int digits = half > 0 ? (int)ceil(-log10(half)) + 1 : 4;
    digits = digits < 0 ? 0 : digits > 6 ? 6 : digits;
    return SAY(k, "%.*f ± %.*f", digits, value, digits, half);
}

static const char *unit_text(Speaker *k) {
    const char *unit = metric_unit(k->s->metric);
    return *unit == '\0' ? "" : SAY(k, " %s", unit);
}

static const char *seeds_text(Speaker *k, int n) {
    return SAY(k, "%d seed%s", n, n == 1 ? "" : "s");
}

/* ---- comparisons ----------------------------------------------------------------------------- */

static bool is_of(const Point *p, const Mark *m) {
    return p->series_index == m->series && p->x == m->x && point_is(p, "done") && !isnan(p->metric);
}

static const Point *same_seed(const Speaker *k, const Mark *m, const char *seed) {
    for (size_t i = 0; i < k->s->n_points; i++) {
        const Point *p = &k->s->points[i];
        if (is_of(p, m) && strcmp(p->seed, seed) == 0) return p;
    }
    return NULL;
}

/* The difference worse - better, paired over common seeds. */
static Interval difference_of(Speaker *k, const Mark *better, const Mark *worse) {
    int n = 0;
    for (size_t i = 0; i < k->s->n_points; i++) {
        const Point *p = &k->s->points[i];
        const Point *other = is_of(p, better) ? same_seed(k, worse, p->seed) : NULL;
        if (other == NULL) continue;
        k->a[n] = other->metric;
        k->b[n++] = p->metric;
    }
    Interval out = difference_interval(k->a, k->b, n);
    if (metric_is_rate(k->s->metric)) out.value = -out.value;
    return out;
}

static bool is_better(const Speaker *k, const Mark *a, const Mark *b) {
    return metric_is_rate(k->s->metric) ? a->mean > b->mean : a->mean < b->mean;
}

/* "A beats B by 0.061 ± 0.008 nats", or that they cannot be told apart. `a`: the name of
 * `better`. */
static const char *comparison(Speaker *k, const char *a, const Mark *better, const Mark *worse) {
    Interval d = difference_of(k, better, worse);
    const char *b = mark_name(k, worse), *by = interval_text(k, d.value, d.half),
               *unit = unit_text(k);
    if (d.n == 0) return SAY(k, "%s and %s have no seed in common", a, b);
    if (d.n == 1)
        return SAY(k, "one seed cannot tell %s from %s: the difference is %s%s", a, b, by, unit);
    const char *seeds = seeds_text(k, d.n);
    if (interval_tells(&d)) {
        return d.value > 0 ? SAY(k, "%s beats %s by %s%s (95%%, %s)", a, b, by, unit, seeds)
                           : SAY(k, "over common seeds %s beats %s by %s%s (95%%, %s)", b, a,
                                 interval_text(k, -d.value, d.half), unit, seeds);
    }
    int wanted = values_to_tell(&d);
    const char *would =
        wanted == 0 ? "more seeds than anybody runs" : SAY(k, "about %d seeds", wanted);
    return SAY(k, "cannot tell %s from %s apart: %s%s (95%%, %s); %s would tell", a, b, by, unit,
               seeds, would);
}

static const char *capitalized(Speaker *k, const char *text) {
    if (*text < 'a' || *text > 'z') return SAY(k, "%s.", text);
    return SAY(k, "%c%s.", *text - 'a' + 'A', text + 1);
}

/* ---- which ----------------------------------------------------------------------------------- */

/* The best mark that passes: of `series` unless that is -1, other than `except`. */
static const Mark *best_of(const Speaker *k, int series, const Mark *except) {
    const Mark *best = NULL;
    for (size_t i = 0; i < k->n; i++) {
        const Mark *m = &k->marks[i];
        if (m->n == 0 || m == except || (series >= 0 && m->series != series)) continue;
        if (best == NULL || is_better(k, m, best)) best = m;
    }
    return best;
}

static const char *why_none(Speaker *k) {
    size_t done = 0;
    for (size_t i = 0; i < k->s->n_points; i++) done += point_is(&k->s->points[i], "done");
    return done == 0 ? "No point is done yet, so there is no answer."
                     : SAY(k, "No finished point has a number for %s, so there is no answer.",
                           k->s->metric);
}

static void say_first(Speaker *k) {
    const Mark *best = best_of(k, -1, NULL), *next = best_of(k, -1, best);
    if (best == NULL) {
        k->answer->first = why_none(k);
        return;
    }
    const char *after = *k->s->budget == '\0' ? "" : SAY(k, " after %s", k->s->budget),
               *extreme = metric_is_rate(k->s->metric) ? "highest" : "lowest";
    const char *claim =
        SAY(k, "The %s %s%s is %s%s%s, of %s", extreme, metric_label(k->s->metric), after,
            interval_text(k, best->mean, best->half), unit_text(k),
            isnan(best->half) ? " (one seed)" : SAY(k, " (95%%, %s)", seeds_text(k, best->n)),
            mark_name(k, best));
    k->answer->first = next == NULL ? SAY(k, "%s.", claim)
                                    : SAY(k, "%s; %s.", claim, comparison(k, "it", best, next));
}

/* The best of a series against its other x. */
static void say_series(Speaker *k, int series) {
    const Mark *best = best_of(k, series, NULL);
    for (size_t i = 0; i < k->n && best != NULL; i++) {
        const Mark *m = &k->marks[i];
        bool is_rival = m->series == series && m != best && m->n > 0 && best->n + m->n > 2;
        bool is_first = best == best_of(k, -1, NULL) && m == best_of(k, -1, best);
        if (is_rival && !is_first)
            say_comparison(k, capitalized(k, comparison(k, mark_name(k, best), best, m)));
    }
}

/* Two series at each x that both have. */
static void say_pair(Speaker *k, int a, int b) {
    for (size_t i = 0; i < k->n; i++) {
        for (size_t j = 0; j < k->n; j++) {
            const Mark *x = &k->marks[i], *y = &k->marks[j];
            bool is_pair = x->series == a && y->series == b && x->x == y->x && x->n > 0 && y->n > 0;
            if (!is_pair || x->n + y->n < 3) continue;
            const Mark *better = is_better(k, x, y) ? x : y, *worse = better == x ? y : x;
            say_comparison(k, capitalized(k, comparison(k, mark_name(k, better), better, worse)));
        }
    }
}

/* Whether two finished points were evaluated on other tokens, or with other contexts. Older
 * versions did not record block_size. */
static bool rulers_differ(const Results *s) {
    const char *hash = NULL;
    ValueRange tokens = {0}, contexts = {0};
    for (size_t i = 0; i < s->n_points; i++) {
        const Point *p = &s->points[i];
        if (!point_is(p, "done") || *p->val_hash == '\0' || isnan(p->val_tokens)) continue;
        if (hash != NULL && strcmp(p->val_hash, hash) != 0) return true;
        hash = p->val_hash;
        range_add(&tokens, p->val_tokens);
        range_add(&contexts, p->block_size);
    }
    return tokens.low < tokens.high || contexts.low < contexts.high;
}

/* It goes with the comparisons if others replace them. */
static void say_cut(Speaker *k) {
    const char *cut =
        k->s->n_series > MOST_SERIES
            ? SAY(k, "The series are more than %d, so only the two best are compared", MOST_SERIES)
            : SAY(k, "%zu more comparisons are left out", k->cut);
    if (k->cut == 0 && k->s->n_series <= MOST_SERIES) return;
    k->answer->comparisons++;
    say(k, SAY(k, "%s; the summary has each mean.", cut));
}

/* A mean over the seeds that did not fail may be the lowest because the others did. */
static void say_failed(Speaker *k) {
    for (size_t i = 0; i < k->n; i++) {
        const Mark *m = &k->marks[i];
        if (m->failed > 0 && m->n > 0)
            say(k, SAY(k, "%d of %d runs of %s failed and are not in its mean.", m->failed,
                       m->points, mark_name(k, m)));
    }
}

/* Such as a study that went on with other ranks. */
static void say_mixed(Speaker *k) {
    for (size_t i = 0; i < k->n; i++) {
        const Mark *m = &k->marks[i];
        if (m->step_low < m->step_high)
            say(k, SAY(k,
                       "The mean of %s mixes runs of %s and %s tokens per step, such as those of "
                       "other ranks: they are no seeds of one config.",
                       mark_name(k, m), count_text(&k->s->arena, m->step_low),
                       count_text(&k->s->arena, m->step_high)));
    }
}

static void say_limits(Speaker *k) {
    size_t remarked = remarks_count(k->s), single = 0;
    say_cut(k);
    say_failed(k);
    say_mixed(k);
    for (size_t i = 0; i < k->n; i++) single += k->marks[i].n == 1;
    if (rulers_differ(k->s))
        say(k, "The points were not evaluated on the same tokens with the same contexts (data.val, "
               "evaluation.tokens, model.block_size): their validation losses cannot be "
               "compared.");
    if (remarked > 0)
        say(k, SAY(k,
                   "Read with care: %zu of %zu points have a remark in the table, such as few "
                   "steps or a rate that a disturbed machine explains; charts show them hollow.",
                   remarked, k->s->n_points));
    if (single > 0)
        say(k, "A result of one seed has no interval: seeds of one config differ, and nothing here "
               "says by how much.");
}

Status answer_find(Results *s, Answer *out) {
    Mark *marks;
    Speaker k = {.s = s, .answer = out};
    /* at most four limits of each mark or series, and some of all */
    size_t most = MOST_COMPARISONS + 4 * s->n_points + 16;
    *out = (Answer){
        .first = "", .more = arena_alloc(&s->arena, most * sizeof *out->more), .most = most};
    k.a = arena_alloc(&s->arena, s->n_points * sizeof *k.a);
    k.b = arena_alloc(&s->arena, s->n_points * sizeof *k.b);
    if (out->more == NULL || k.a == NULL || k.b == NULL) return OUT_OF_MEMORY("a report");
    TRY(results_marks(s, point_x, point_metric, &marks, &k.n));
    k.marks = marks;
    say_first(&k);
    for (int series = 0; series < s->n_series && s->n_series <= MOST_SERIES; series++) {
        say_series(&k, series);
        for (int other = 0; other < series; other++) say_pair(&k, other, series);
    }
    say_limits(&k);
    return OK;
}
