#include "launch/bench/attention_case.h"

#include "core/base/checked.h"
#include "core/rng.h"
#include "launch/config/value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const bias_dims[] = {"qk", "qk", "hqk", "bqk", "bhqk", "k", "hk", "bk", "bhk"};

Status attention_lengths_parse(const char *option, const char *text, int64_t *lengths, int *count) {
    *count = 0;
    while (*text != '\0') {
        char word[24];
        size_t bytes = strcspn(text, ",");
        snprintf(word, sizeof word, "%.*s", (int)bytes, text);
        if (*count == ATTENTION_MOST_LENGTHS) {
            return ERROR(STATUS_USAGE, "--%s takes up to %d lengths", option,
                         ATTENTION_MOST_LENGTHS);
        }
        bool is_length = bytes < sizeof word && value_parse_int(word, &lengths[*count]);
        if (!is_length || lengths[*count] < 1 || lengths[*count] > 1 << 24) {
            return ERROR(STATUS_USAGE,
                         "--%s needs lengths from 1 to %d, such as 1024 or 512,1024, not '%.40s'",
                         option, 1 << 24, word);
        }
        ++*count;
        text += bytes + (text[bytes] == ',');
    }
    return OK;
}

static DType dtype_of(const BenchOptions *options, bool is_cpu) {
    switch ((BenchDtype)options->dtype) {
    case BENCH_DTYPE_AUTO: return is_cpu ? DTYPE_F32 : DTYPE_F16;
    case BENCH_DTYPE_F16: return DTYPE_F16;
    case BENCH_DTYPE_BF16: return DTYPE_BF16;
    case BENCH_DTYPE_F64: return DTYPE_F64;
    case BENCH_DTYPE_F32:
    case BENCH_DTYPE_TF32: break;
    }
    return DTYPE_F32;
}

static int64_t given_or(int64_t given, int64_t otherwise) { return given > 0 ? given : otherwise; }

static bool wants_causal(const BenchOptions *o) {
    return o->causal || o->window > 0 || o->documents > 0;
}

static Status options_check(const BenchOptions *o) {
    const struct {
        bool is_wrong;
        const char *why;
    } rules[] = {
        {o->alignment != BENCH_ALIGN_AUTO && !wants_causal(o),
         "--alignment is the causal mask's: give --causal or --window"},
        {o->documents > 0 && o->Tk > 0, "--documents has as many keys as queries: leave out --Tk"},
        {o->documents > 0 && o->key_lengths != NULL,
         "--documents and --key-lengths are two masks of one kind: give one"},
        {o->bias_dims > 0 && o->bias == BIAS_NONE,
         "--bias-dims is the bias's: give --bias=boolean or --bias=additive"},
        {o->layout == BENCH_LAYOUT_PACKED && o->Tk > 0,
         "--layout=packed has as many keys as queries: leave out --Tk"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (rules[i].is_wrong) return ERROR(STATUS_USAGE, "%s", rules[i].why);
    }
    return OK;
}

static BenchLayout layout_of(const BenchOptions *o) {
    if (o->layout != BENCH_LAYOUT_AUTO) return (BenchLayout)o->layout;
    return o->Tk > 0 ? BENCH_LAYOUT_TOKENS : BENCH_LAYOUT_PACKED;
}

/* The tutorial's call; on the CPU a smaller one that takes seconds. */
Status attention_shape_of(const BenchOptions *o, const Device *device, AttentionShape *out) {
    bool is_cpu = device->target.kind == DEVICE_CPU;
    TRY(options_check(o));
    *out = (AttentionShape){
        .device = device->name,
        .is_reduced = is_cpu && o->B + o->NH + o->HS == 0 && o->T == NULL,
        .B = given_or(o->B, is_cpu ? 2 : 32),
        .NH = given_or(o->NH, is_cpu ? 8 : 32),
        .HS = given_or(o->HS, 32),
        .Tk = o->Tk,
        .dtype = dtype_of(o, is_cpu),
        .tf32 = device->tf32,
        .layout = (int)layout_of(o),
        .causal = !wants_causal(o)                          ? CAUSAL_NONE
                  : o->alignment == BENCH_ALIGN_LOWER_RIGHT ? CAUSAL_LOWER_RIGHT
                                                            : CAUSAL_UPPER_LEFT,
        .window = o->window,
        .dropout = o->dropout,
        .bias = (BiasKind)o->bias,
        .bias_dims = bias_dims[o->bias_dims],
        .repeats = o->repeats,
    };
    out->NH_kv = given_or(o->NH_kv, out->NH);
    if (o->key_lengths == NULL) return OK;
    TRY(attention_lengths_parse("key-lengths", o->key_lengths, out->key_lengths,
                                &out->key_length_count));
    if (out->key_length_count <= out->B) return OK;
    return ERROR(STATUS_USAGE, "--key-lengths has %d lengths, but --B=%lld rows",
                 out->key_length_count, (long long)out->B);
}

static void layouts_set(AttentionCall *c, BenchLayout layout) {
    bool is_heads = layout == BENCH_LAYOUT_HEADS;
    c->q = c->out =
        is_heads ? attention_heads(c->Tq, c->NH, c->HS) : attention_tokens(c->Tq, c->NH, c->HS);
    c->k = c->v = is_heads ? attention_heads(c->Tk, c->NH_kv, c->HS)
                           : attention_tokens(c->Tk, c->NH_kv, c->HS);
    if (layout == BENCH_LAYOUT_PACKED)
        c->q = c->k = c->v = attention_packed(c->Tq, c->NH, c->NH_kv, c->HS);
}

/* Dense over the given dimensions; attention_check refuses strides that are too large. */
static HeadLayout bias_layout(const AttentionCall *c, const char *dims) {
    HeadLayout layout = {0};
    const struct {
        char name;
        int64_t count, *stride;
    } all[] = {{'q', c->Tq, &layout.token}, {'h', c->NH, &layout.head}, {'b', c->B, &layout.batch}};
    int64_t stride = c->Tk;
    for (int i = 0; i < 3; i++) {
        if (strchr(dims, all[i].name) == NULL) continue;
        *all[i].stride = stride;
        if (!checked_mul_i64(stride, all[i].count, &stride)) stride = INT64_MAX;
    }
    return layout;
}

/* The name of the mask in the table. */
static void mask_write(const AttentionShape *s, AttentionCase *c) {
    char base[40] = "full", bias[24] = "";
    if (s->causal != CAUSAL_NONE) snprintf(base, sizeof base, "causal");
    if (s->window > 0) snprintf(base, sizeof base, "window %lld", (long long)s->window);
    if (c->documents > 0) snprintf(base, sizeof base, "documents %lld", (long long)c->documents);
    if (s->bias != BIAS_NONE) {
        snprintf(bias, sizeof bias, " + %s %s", s->bias == BIAS_BOOLEAN ? "boolean" : "additive",
                 s->bias_dims);
    }
    snprintf(c->mask, sizeof c->mask, "%s%s%s%s", base,
             s->causal == CAUSAL_LOWER_RIGHT ? " lower_right" : "",
             s->key_length_count > 0 ? " + lengths" : "", bias);
}

static Status key_lengths_check(const AttentionCase *c) {
    for (int i = 0; i < c->key_length_count; i++) {
        if (c->key_lengths[i] <= c->call.Tk) continue;
        return ERROR(STATUS_USAGE, "--key-lengths: %lld is more than the %lld keys of a row",
                     (long long)c->key_lengths[i], (long long)c->call.Tk);
    }
    return OK;
}

Status attention_case_of(const AttentionShape *s, int64_t T, int64_t documents, AttentionCase *c) {
    *c = (AttentionCase){.packed = s->layout == BENCH_LAYOUT_PACKED,
                         .documents = documents,
                         .key_lengths = s->key_lengths,
                         .key_length_count = s->key_length_count};
    c->call = attention_call_packed(s->dtype, s->B, T, s->NH, s->HS, s->dropout, true);
    c->call.NH_kv = s->NH_kv;
    c->call.Tk = given_or(s->Tk, T);
    c->call.causal = s->causal;
    c->call.window = s->window;
    c->call.ranges = documents > 0 || s->key_length_count > 0;
    c->call.bias = s->bias;
    if (s->bias != BIAS_NONE) c->call.bias_layout = bias_layout(&c->call, s->bias_dims);
    layouts_set(&c->call, (BenchLayout)s->layout);
    mask_write(s, c);
    TRY(key_lengths_check(c));
    Status status = attention_check(&c->call);
    if (failed(status)) status.code = STATUS_USAGE;
    return status;
}

static int64_t length_draw(int64_t b, int64_t start, int64_t mean) {
    Philox words = philox(1, (uint64_t)start, (uint64_t)b);
    return 1 + (int64_t)(-log(1 - (double)rng_uniform(words.word[0])) * (double)(mean - 1));
}

/* Lengths are exponentially distributed around the mean; the last document of a row is cut. */
static Status documents_draw(AttentionCase *c) {
    int32_t *starts = malloc((size_t)(c->call.Tq + 1) * sizeof *starts);
    Status status = starts == NULL ? OUT_OF_MEMORY("documents") : OK;
    for (int64_t b = 0; b < c->call.B && !failed(status); b++) {
        int64_t count = 0;
        for (int64_t start = 0, length; start < c->call.Tq; start += length) {
            starts[count++] = (int32_t)start;
            length = length_draw(b, start, c->documents);
            length = length < c->call.Tq - start ? length : c->call.Tq - start;
        }
        starts[count] = (int32_t)c->call.Tq;
        status = ranges_from_cumulative(&c->ranges, b, starts, starts, count, CAUSAL_NONE, 0);
    }
    free(starts);
    return status;
}

static Status padding_set(AttentionCase *c) {
    int32_t *lengths = malloc((size_t)c->call.B * sizeof *lengths);
    if (lengths == NULL) return OUT_OF_MEMORY("lengths");
    for (int64_t b = 0; b < c->call.B; b++)
        lengths[b] = (int32_t)c->key_lengths[b % c->key_length_count];
    Status status = ranges_from_lengths(&c->ranges, NULL, lengths);
    free(lengths);
    return status;
}

/* Hides half of the elements, at random. */
static Status seen_draw(AttentionCase *c) {
    int64_t count = attention_extent(&c->call, ATTENTION_BIAS);
    c->seen = malloc((size_t)count);
    if (c->seen == NULL) return OUT_OF_MEMORY("a mask");
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) c->seen[i] = philox(2, (uint64_t)i, 0).word[0] & 1;
    return OK;
}

static Status case_draw(AttentionCase *c) {
    if (c->is_drawn) return OK;
    if (c->call.ranges) TRY(ranges_create(c->call.B, c->call.Tq, c->call.Tk, &c->ranges));
    if (c->documents > 0) TRY(documents_draw(c));
    if (c->key_length_count > 0) TRY(padding_set(c));
    if (c->call.bias == BIAS_BOOLEAN) TRY(seen_draw(c));
    c->pairs =
        attention_pairs(&c->call, &(AttentionArgs){.key_ranges = c->ranges.keys, .bias = c->seen});
    c->is_drawn = true;
    return OK;
}

Status attention_case_upload(AttentionCase *c, Sdpa *sdpa) {
    TRY(case_draw(c));
    if (c->seen != NULL) TRY(device_upload(sdpa->device, sdpa->bias, c->seen));
    if (!c->call.ranges) return OK;
    TRY(device_upload(sdpa->device, sdpa->key_ranges, c->ranges.keys));
    return device_upload(sdpa->device, sdpa->query_ranges, c->ranges.queries);
}

void attention_case_free(AttentionCase *c) {
    ranges_destroy(&c->ranges);
    free(c->seen);
    c->seen = NULL;
}
