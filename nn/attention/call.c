/* What a call is: the layouts that are common, and which calls make no sense. */
#include "core/checked.h"
#include "nn/attention/attention.h"

#include <limits.h>
#include <math.h>

HeadLayout attention_tokens(int64_t T, int64_t NH, int64_t HS) {
    return (HeadLayout){.batch = T * NH * HS, .token = NH * HS, .head = HS};
}

HeadLayout attention_heads(int64_t T, int64_t NH, int64_t HS) {
    return (HeadLayout){.batch = NH * T * HS, .token = HS, .head = T * HS};
}

int64_t attention_extent(HeadLayout layout, int64_t B, int64_t NH, int64_t T, int64_t HS) {
    return (B - 1) * layout.batch + (NH - 1) * layout.head + (T - 1) * layout.token + HS;
}

AttentionCall attention_call_packed(DType dtype, int64_t B, int64_t T, int64_t NH, int64_t HS, double dropout,
                                    bool training) {
    int64_t C = NH * HS;
    HeadLayout packed = {.batch = T * 3 * C, .token = 3 * C, .head = HS};
    return (AttentionCall){
        .B = B,
        .NH = NH,
        .NH_kv = NH,
        .Tq = T,
        .Tk = T,
        .HS = HS,
        .dtype = dtype,
        .scale = (float)(1.0 / sqrt((double)HS)),
        .causal = CAUSAL_UPPER_LEFT,
        .dropout = training ? dropout : 0,
        .training = training,
        .q = packed,
        .k = packed,
        .v = packed,
        .out = attention_tokens(T, NH, HS),
    };
}

int64_t attention_bias_extent(const AttentionCall *c) {
    HeadLayout l = c->bias_layout;
    return attention_extent(l, l.batch == 0 ? 1 : c->B, l.head == 0 ? 1 : c->NH, l.token == 0 ? 1 : c->Tq, c->Tk);
}

DType attention_bias_dtype(const AttentionCall *c) {
    return c->bias == BIAS_BOOLEAN ? DTYPE_U8 : c->dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
}

/* Rows that are apart, in memory that an int64 can count: nothing that is written has two places. */
static const char *layout_wrong(HeadLayout layout, int64_t B, int64_t NH, int64_t T, int64_t HS) {
    int64_t ends[3];
    if (layout.token < HS || layout.token > INT_MAX) return "tokens lie at least HS elements apart, and 2^31 at most";
    if ((B > 1 && layout.batch < HS) || (NH > 1 && layout.head < HS)) return "rows and heads lie HS elements apart";
    if (layout.batch < 0 || layout.head < 0 || !checked_mul_i64(B - 1, layout.batch, &ends[0]) ||
        !checked_mul_i64(NH - 1, layout.head, &ends[1]) || !checked_mul_i64(T, layout.token, &ends[2]) ||
        ends[0] > INT64_MAX / 4 || ends[1] > INT64_MAX / 4 || ends[2] > INT64_MAX / 4) {
        return "a tensor is too large to address";
    }
    return NULL;
}

static const char *sizes_wrong(const AttentionCall *c) {
    if (c->B < 1 || c->NH < 1 || c->Tq < 1 || c->Tk < 1 || c->HS < 1) return "every size must be at least 1";
    if (c->NH_kv < 1 || c->NH % c->NH_kv != 0) return "NH must be a multiple of NH_kv";
    if (c->Tq > INT_MAX || c->Tk > INT_MAX || c->HS > INT_MAX) return "a size is beyond 2^31";
    return NULL;
}

static const char *masks_wrong(const AttentionCall *c) {
    HeadLayout bias = c->bias_layout;
    if (c->causal < CAUSAL_NONE || c->causal > CAUSAL_LOWER_RIGHT) return "there is no such causal mask";
    if (c->window < 0) return "a window is 0 (none) or a number of keys";
    if (c->window > 0 && c->causal == CAUSAL_NONE) return "a window needs a causal mask, whose diagonal it follows";
    if (c->bias < BIAS_NONE || c->bias > BIAS_ADDITIVE) return "there is no such bias";
    if (c->bias != BIAS_NONE && (bias.batch < 0 || bias.head < 0 || bias.token < 0)) return "strides are not below 0";
    return NULL;
}

static const char *call_wrong(const AttentionCall *c) {
    const char *why = sizes_wrong(c);
    if (why == NULL) why = masks_wrong(c);
    if (why == NULL) why = layout_wrong(c->q, c->B, c->NH, c->Tq, c->HS);
    if (why == NULL) why = layout_wrong(c->k, c->B, c->NH_kv, c->Tk, c->HS);
    if (why == NULL) why = layout_wrong(c->v, c->B, c->NH_kv, c->Tk, c->HS);
    if (why == NULL) why = layout_wrong(c->out, c->B, c->NH, c->Tq, c->HS);
    if (why == NULL && c->dtype > DTYPE_BF16) why = "q, k and v must be floating-point numbers";
    if (why == NULL && !isfinite(c->scale)) why = "the scale must be a finite number";
    if (why == NULL && !(c->dropout >= 0 && c->dropout < 1)) why = "dropout must be at least 0 and below 1";
    return why;
}

Status attention_check(const AttentionCall *c) {
    const char *why = call_wrong(c);
    if (why == NULL) return OK;
    return ERROR(STATUS_CONFIG, "attention: %s (B=%lld, NH=%lld, NH_kv=%lld, Tq=%lld, Tk=%lld, HS=%lld, window=%lld)",
                 why, (long long)c->B, (long long)c->NH, (long long)c->NH_kv, (long long)c->Tq, (long long)c->Tk,
                 (long long)c->HS, (long long)c->window);
}
