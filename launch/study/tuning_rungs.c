/* The rungs of a tuning: their shares of the budget, and what they cost. */
#include "launch/config/diagnostic.h"
#include "launch/run/phases.h"
#include "launch/study/tuning.h"

#include <math.h>
#include <string.h>

int tuning_kept(int count) {
    int half = count / 2 + count % 2, least = count < KEPT ? count : KEPT;
    return half > least ? half : least;
}

/* One rung for each halving, then the whole budget. */
void tuning_rungs(Tuning *t) {
    int early = 0;
    for (int count = t->combination->tune.count; count > KEPT && early < RUNGS_MAX - 1; early++)
        count = tuning_kept(count);
    t->rungs = early + 1;
    for (int r = 0; r < t->rungs; r++) {
        double left = early == 0 ? 0 : (double)(early - r) / early;
        t->shares[r] = pow(t->combination->tune.share, left);
    }
}

double tuning_cost(const Tuning *t) {
    double cost = 0, before = 0;
    int count = t->combination->tune.count;
    for (int r = 0; r < t->rungs; r++) {
        cost += count * (t->shares[r] - before);
        before = t->shares[r];
        count = tuning_kept(count);
    }
    return cost;
}

/* The least value of a stop rule that gives the first rung `least` of its unit. */
static Status too_short(const Tuning *t, const char *key, double has, double least,
                        const char *unit) {
    return PLACE_ERROR(t->combination->tune.place,
                       "'tune' ends its first rung after %.3g %s, which ranks nothing; "
                       "'training.stop.%s' must be at least %.0f%s, or 'tune.share' larger",
                       has, unit, key, ceil(least / t->shares[0]),
                       strcmp(key, "time") == 0 ? "s" : "");
}

Status tuning_check(const Study *study, const Tuning *t) {
    const Config *c = study->points[t->candidates[0].point].config;
    const ConfigStop *stop = &c->training.stop;
    double share = t->shares[0], steps = share * (double)stop->steps, seconds = share * stop->time,
           tokens = share * (double)stop->tokens;
    double each = (double)phases_first_tokens(c, c->launch.local.ranks);
    if (stop->steps > 0 && steps < LEAST_STEPS)
        return too_short(t, "steps", steps, LEAST_STEPS, "steps");
    if (stop->time > 0 && seconds < LEAST_SECONDS)
        return too_short(t, "time", seconds, LEAST_SECONDS, "s");
    if (stop->tokens > 0 && tokens < LEAST_STEPS * each)
        return too_short(t, "tokens", tokens, LEAST_STEPS * each, "tokens");
    return OK;
}
