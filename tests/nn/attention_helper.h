/* One attention call on the CPU by any backend, and the same by a naive reference in f64. */
#pragma once

#include "core/device.h"
#include "core/store.h"
#include "nn/attention/attention.h"

/* q, k, v, dout, then what comes out. All as doubles, dense and in the call's layouts. */
enum { ATT_Q, ATT_K, ATT_V, ATT_DOUT, ATT_OUT, ATT_LSE, ATT_DQ, ATT_DK, ATT_DV, ATT_TENSORS };

typedef struct AttentionData {
    double *values[ATT_TENSORS];
    int64_t counts[ATT_TENSORS];
} AttentionData;

typedef struct AttentionShape {
    int64_t B, NH, NH_kv, Tq, Tk, HS;
    CausalMask causal;
    int64_t window;
    double dropout;
    bool head_major; /* (B, NH, T, HS) instead of (B, T, NH, HS) */
    float scale;     /* 0: 1 / sqrt(HS) */
} AttentionShape;

AttentionCall attention_call_of(AttentionShape shape, DType dtype);

/* Random inputs within +-magnitude, rounded to f32, outputs NaN. */
bool attention_data_create(const AttentionCall *call, double magnitude, AttentionData *out);
void attention_data_destroy(AttentionData *data);

/* Fills the outputs: by the formulas, one query at a time. */
void attention_reference(const AttentionCall *call, const StepState *step, AttentionData *data);

/* Fills the outputs by a backend. */
NODISCARD Status attention_by(const AttentionBackend *backend, const AttentionCall *call, Device *device,
                              const StepState *step, AttentionData *data);

const AttentionBackend *attention_backend(const char *name);
