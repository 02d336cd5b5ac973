#include "nn/attention/measure.h"

#include "core/perf/cache_file.h"
#include "core/perf/timing.h"
#include "nn/attention/standalone.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { KEY_ROOM = 512, REPEATS = 7 };
static const double LIMIT_S = 1.0; /* for the measured times of one backend */

/* Times are valid only for the kernels that are linked into this program. */
static uint64_t program_hash(void) {
    XXH3_state_t *state = XXH3_createState();
    FILE *file = fopen("/proc/self/exe", "rb");
    char *block = malloc(1 << 16);
    uint64_t hash = 0;
    if (state != NULL && file != NULL && block != NULL && XXH3_64bits_reset(state) == XXH_OK) {
        for (size_t bytes; (bytes = fread(block, 1, 1 << 16, file)) > 0;)
            XXH3_64bits_update(state, block, bytes);
        hash = XXH3_64bits_digest(state);
    }
    free(block);
    if (file != NULL) fclose(file);
    XXH3_freeState(state);
    return hash;
}

static void layout_write(FILE *file, HeadLayout layout) {
    fprintf(file, " %lld,%lld,%lld", (long long)layout.batch, (long long)layout.token,
            (long long)layout.head);
}

/* Describes the whole call and the properties of the device that affect its speed. */
static bool key_write(const Device *device, const AttentionCall *c, const char *name,
                      uint64_t build, char *key) {
    FILE *file = fmemopen(key, KEY_ROOM, "w");
    if (file == NULL) return false;
    fprintf(
        file,
        "%s build=%016llx threads=%d tf32=%d %s B=%lld NH=%lld,%lld T=%lld,%lld HS=%lld scale=%.9g",
        name, (unsigned long long)build, device->target.threads, device->tf32, dtype_name(c->dtype),
        (long long)c->B, (long long)c->NH, (long long)c->NH_kv, (long long)c->Tq, (long long)c->Tk,
        (long long)c->HS, (double)c->scale);
    fprintf(file, " causal=%d window=%lld ranges=%d bias=%d dropout=%.9g training=%d",
            (int)c->causal, (long long)c->window, c->ranges, (int)c->bias, c->dropout, c->training);
    layout_write(file, c->q);
    layout_write(file, c->k);
    layout_write(file, c->v);
    layout_write(file, c->out);
    return fclose(file) == 0;
}

static bool seconds_parse(const char *text, void *out) {
    char *end;
    double us = strtod(text, &end);
    bool is_time = end != text && *end == '\0' && isfinite(us) && us > 0;
    if (is_time) *(double *)out = 1e-6 * us;
    return is_time;
}

/* *seconds stays 0 if the memory is not available. */
static Status call_time(Device *device, const AttentionCall *call, const AttentionBackend *backend,
                        double *seconds) {
    Sdpa *sdpa;
    Spread spread = {0};
    bool fits;
    TRY(sdpa_plan(device, call, backend, true, &sdpa));
    Status status = sdpa_allocate_trial(sdpa, &fits);
    if (!failed(status) && fits) status = sdpa_time(sdpa, REPEATS, LIMIT_S, &spread);
    sdpa_destroy(&sdpa);
    *seconds = spread.median;
    return status;
}

static Status name_measure(Device *device, const AttentionCall *call, const AttentionBackend *row,
                           int cache, uint64_t build, bool measures, double *seconds) {
    char key[KEY_ROOM], value[32];
    bool keyed = key_write(device, call, row->forward.name, build, key);
    if ((keyed && cache_find(cache, key, seconds_parse, seconds)) || !measures) return OK;
    *seconds = 0;
    TRY(call_time(device, call, row, seconds));
    snprintf(value, sizeof value, "%.3f", 1e6 * *seconds);
    if (keyed && *seconds > 0) cache_add(cache, key, value);
    return OK;
}

Status attention_measure(Device *device, const AttentionCall *call, bool measures,
                         KernelChoice *choice, int *missing) {
    uint64_t build = program_hash();
    int cache = cache_lock("attention", device->name, "1");
    Status status = OK;
    *missing = 0;
    for (int i = 0; i < choice->count && !failed(status); i++) {
        const char *refusal;
        const AttentionBackend *row =
            attention_row(choice->names[i], call, &device->target, &refusal);
        if (row == NULL) continue;
        status = name_measure(device, call, row, cache, build, measures, &choice->seconds[i]);
        *missing += choice->seconds[i] == 0;
    }
    cache_unlock(cache);
    return status;
}
