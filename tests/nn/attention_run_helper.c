#include "tests/nn/attention_run_helper.h"

#include "nn/attention/standalone.h"

#include <stdlib.h>
#include <string.h>

/* Element i of an array of a dtype in host memory. */
static void element_set(void *memory, DType dtype, int64_t i, double value) {
    switch (dtype) {
    case DTYPE_F64: ((double *)memory)[i] = value; break;
    case DTYPE_F32: ((float *)memory)[i] = (float)value; break;
    case DTYPE_F16: ((_Float16 *)memory)[i] = (_Float16)value; break;
    case DTYPE_BF16: {
        float wide = (float)attention_rounded(value, DTYPE_BF16);
        memcpy((uint16_t *)memory + i, (uint16_t *)&wide + 1, sizeof(uint16_t));
        break;
    }
    default: ((uint8_t *)memory)[i] = value != 0;
    }
}

static double element_get(const void *memory, DType dtype, int64_t i) {
    switch (dtype) {
    case DTYPE_F64: return ((const double *)memory)[i];
    case DTYPE_F32: return (double)((const float *)memory)[i];
    case DTYPE_F16: return (double)((const _Float16 *)memory)[i];
    default: {
        uint32_t bits = (uint32_t)((const uint16_t *)memory)[i] << 16;
        float wide;
        memcpy(&wide, &bits, sizeof wide);
        return (double)wide;
    }
    }
}

/* Every byte 0xFF, which is a NaN in each dtype. */
static Status scratch_poison(Sdpa *s, Device *device, void *staged) {
    Buffer buffer = {.data = s->programs[0].memory, .bytes = s->programs[0].bytes};
    Tensor all = {.buffer = &buffer,
                  .dtype = DTYPE_U8,
                  .n_dims = 1,
                  .shape = {(int64_t)s->programs[0].bytes}};
    if (s->programs[0].bytes == 0) return OK;
    memset(staged, 0xFF, s->programs[0].bytes);
    return device_upload(device, &all, staged);
}

static Status inputs_upload(Sdpa *s, Device *device, Tensor *const t[], const AttentionData *data,
                            void *staged) {
    for (int which = 0; which < ATT_TENSORS; which++) {
        if (t[which] == NULL) continue;
        for (int64_t i = 0; i < data->counts[which]; i++) {
            element_set(staged, t[which]->dtype, i, data->values[which][i]);
        }
        TRY(device_upload(device, t[which], staged));
    }
    if (!s->call.ranges) return OK;
    TRY(device_upload(device, s->key_ranges, data->ranges.keys));
    return device_upload(device, s->query_ranges, data->ranges.queries);
}

static Status run(Sdpa *s, Device *device, const StepState *step, AttentionData *data,
                  void *staged) {
    Tensor *const t[ATT_TENSORS] = {s->q,   s->k,  s->v,  s->dout, s->bias, s->out,
                                    s->lse, s->dq, s->dk, s->dv,   s->dbias};
    TRY(scratch_poison(s, device, staged));
    TRY(inputs_upload(s, device, t, data, staged));
    TRY(device_upload(device, s->step, step));
    TRY(sdpa_forward(s));
    TRY(scratch_poison(s, device, staged));
    if (s->call.training) TRY(sdpa_backward(s));
    for (int which = ATT_OUT; which < ATT_TENSORS; which++) {
        if (t[which] == NULL) continue;
        TRY(device_download(device, staged, t[which]));
        for (int64_t i = 0; i < data->counts[which]; i++) {
            data->values[which][i] = element_get(staged, t[which]->dtype, i);
        }
    }
    return OK;
}

Status attention_by(const AttentionBackend *backend, const AttentionCall *call, Device *device,
                    const StepState *step, AttentionData *data) {
    Sdpa *sdpa;
    TRY(sdpa_create_with(device, call, backend, &sdpa));
    void *staged = malloc(sdpa->bytes);
    Status status = staged == NULL ? ERROR(STATUS_FAILURE, "out of memory for a test")
                                   : run(sdpa, device, step, data, staged);
    free(staged);
    sdpa_destroy(&sdpa);
    return status;
}

const AttentionBackend *attention_backend(const char *name) {
    for (int i = 0; attention_backends[i] != NULL; i++) {
        const AttentionBackend *backend = attention_backends[i];
        if (backend->forward.device == DEVICE_CPU && strcmp(backend->forward.name, name) == 0)
            return backend;
    }
    return NULL;
}
