/* Common layouts of a call, and the check that a call is valid. */
#include "core/base/checked.h"
#include "nn/attention/attention.h"

#include <limits.h>
#include <math.h>

HeadLayout attention_tokens(int64_t T, int64_t NH, int64_t HS) {
    return (HeadLayout){.batch = T * NH * HS, .token = NH * HS, .head = HS};
}

HeadLayout attention_heads(int64_t T, int64_t NH, int64_t HS) {
    return (HeadLayout){.batch = NH * T * HS, .token = HS, .head = T * HS};
}

HeadLayout attention_packed(int64_t T, int64_t NH, int64_t NH_kv, int64_t HS) {
    int64_t row = (NH + 2 * NH_kv) * HS;
    return (HeadLayout){.batch = T * row, .token = row, .head = HS};
}

bool attention_same_layout(HeadLayout a, HeadLayout b) {
    return a.batch == b.batch && a.token == b.token && a.head == b.head;
}

AttentionCall attention_call_packed(DType dtype, int64_t B, int64_t T, int64_t NH, int64_t HS,
                                    double dropout, bool training) {
    HeadLayout packed = attention_packed(T, NH, NH, HS);
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

/* The runs of contiguous elements of an operand: how many in each dimension, and their stride. */
typedef struct Runs {
    int64_t counts[3], strides[3], length;
} Runs;

static Runs runs_of(const AttentionCall *c, AttentionOperand which) {
    bool is_keys = which == ATTENTION_K || which == ATTENTION_V;
    const HeadLayout layouts[] = {c->q, c->k, c->v, c->out, c->bias_layout};
    HeadLayout l = layouts[which];
    Runs runs = {.counts = {c->B, is_keys ? c->NH_kv : c->NH, is_keys ? c->Tk : c->Tq},
                 .strides = {l.batch, l.head, l.token},
                 .length = which == ATTENTION_BIAS ? c->Tk : c->HS};
    for (int i = 0; i < 3 && which == ATTENTION_BIAS; i++) {
        if (runs.strides[i] == 0) runs.counts[i] = 1; /* broadcast */
    }
    return runs;
}

int64_t attention_extent(const AttentionCall *call, AttentionOperand which) {
    Runs runs = runs_of(call, which);
    int64_t extent = runs.length;
    for (int i = 0; i < 3; i++) extent += (runs.counts[i] - 1) * runs.strides[i];
    return extent;
}

/* Each stride must be larger than the extent of all smaller strides. */
bool attention_is_apart(const AttentionCall *call, AttentionOperand which) {
    Runs r = runs_of(call, which);
    for (int i = 0; i < 3; i++) {
        int64_t within = r.length;
        for (int j = 0; j < 3; j++) {
            bool is_smaller =
                r.strides[j] < r.strides[i] || (r.strides[j] == r.strides[i] && j < i);
            if (is_smaller) within += (r.counts[j] - 1) * r.strides[j];
        }
        if (r.counts[i] > 1 && r.strides[i] < within) return false;
    }
    return true;
}

DType attention_bias_dtype(const AttentionCall *c) {
    return c->bias == BIAS_BOOLEAN ? DTYPE_U8 : dtype_wide(c->dtype);
}

/* A size that an int64 can count, with a margin for the sum of the dimensions. */
static bool is_addressable(const AttentionCall *c, AttentionOperand which) {
    Runs runs = runs_of(c, which);
    for (int i = 0; i < 3; i++) {
        int64_t end;
        if (runs.strides[i] < 0 || !checked_mul_i64(runs.counts[i] - 1, runs.strides[i], &end))
            return false;
        if (end > INT64_MAX / 4) return false;
    }
    return true;
}

/* Checks all operands. Outputs must also satisfy attention_is_apart. */
static const char *layout_wrong(const AttentionCall *c, AttentionOperand which) {
    Runs runs = runs_of(c, which);
    int64_t token = runs.strides[2];
    if (token < c->HS || token > INT_MAX)
        return "tokens lie at least HS elements apart, and 2^31 at most";
    for (int i = 0; i < 2; i++) {
        bool is_shared = which < ATTENTION_OUT && runs.strides[i] == 0; /* expanded */
        if (runs.counts[i] > 1 && runs.strides[i] < c->HS && !is_shared)
            return "rows and heads lie HS elements apart";
    }
    return is_addressable(c, which) ? NULL : "a tensor is too large to address";
}

static const char *sizes_wrong(const AttentionCall *c) {
    if (c->B < 1 || c->NH < 1 || c->Tq < 1 || c->Tk < 1 || c->HS < 1)
        return "every size must be at least 1";
    if (c->NH_kv < 1 || c->NH % c->NH_kv != 0) return "NH must be a multiple of NH_kv";
    if (c->HS_v != 0 && c->HS_v != c->HS)
        return "v has the head size of q and k: pad it with zeros to HS";
    if (c->Tq > INT_MAX || c->Tk > INT_MAX || c->HS > INT_MAX) return "a size is beyond 2^31";
    return NULL;
}

static const char *masks_wrong(const AttentionCall *c) {
    HeadLayout bias = c->bias_layout;
    if (c->causal < CAUSAL_NONE || c->causal > CAUSAL_LOWER_RIGHT)
        return "there is no such causal mask";
    if (c->window < 0) return "a window is 0 (none) or a number of keys";
    if (c->window > 0 && c->causal == CAUSAL_NONE)
        return "a window needs a causal mask, whose diagonal it follows";
    if (c->bias < BIAS_NONE || c->bias > BIAS_ADDITIVE) return "there is no such bias";
    if (c->bias == BIAS_NONE) return NULL;
    if (bias.batch < 0 || bias.head < 0 || bias.token < 0) return "strides are not below 0";
    return is_addressable(c, ATTENTION_BIAS) ? NULL : "a bias is too large to address";
}

static const char *call_wrong(const AttentionCall *c) {
    const char *why = sizes_wrong(c);
    if (why == NULL) why = masks_wrong(c);
    for (int which = ATTENTION_Q; which <= ATTENTION_OUT && why == NULL; which++) {
        why = layout_wrong(c, (AttentionOperand)which);
    }
    if (why == NULL && c->dtype > DTYPE_BF16) why = "q, k and v must be floating-point numbers";
    if (why == NULL && !isfinite(c->scale)) why = "the scale must be a finite number";
    if (why == NULL && !(c->dropout >= 0 && c->dropout < 1))
        why = "dropout must be at least 0 and below 1";
    if (why == NULL && !(c->softcap >= 0 && isfinite(c->softcap)))
        why = "the softcap must be 0 (none) or above";
    return why;
}

Status attention_check(const AttentionCall *c) {
    const char *why = call_wrong(c);
    if (why == NULL) return OK;
    return ERROR(
        STATUS_CONFIG,
        "attention: %s (B=%lld, NH=%lld, NH_kv=%lld, Tq=%lld, Tk=%lld, HS=%lld, window=%lld)", why,
        (long long)c->B, (long long)c->NH, (long long)c->NH_kv, (long long)c->Tq, (long long)c->Tk,
        (long long)c->HS, (long long)c->window);
}
