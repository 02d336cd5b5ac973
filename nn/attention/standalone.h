/* The attention operator without a model: an application describes a call, fills the inputs, and
 * runs it.
 *
 *   Sdpa *sdpa;
 *   TRY(sdpa_create(device, &call, &choice, &sdpa));
 *   TRY(device_upload(device, sdpa->q, q));            also k, v, and the call's masks
 *   TRY(sdpa_forward(sdpa));
 *   TRY(device_download(device, out, sdpa->out));
 *
 * sdpa_create allocates all memory. Not collective. */
#pragma once

#include "core/bound_program.h"
#include "core/perf/median.h"
#include "core/store.h"
#include "nn/attention/attention.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SDPA_PROGRAMS = 3 };

/* The memory of a call: upload inputs before a run, download outputs after it. Each is a vector
 * laid out as the call specifies, in the call's dtype unless noted. Unused ones are NULL. */
typedef struct Sdpa {
    AttentionCall call;
    const AttentionBackend *backend; /* the selected backend */
    Tensor *q, *k, *v;
    /* i32 (2, B, Tq), (2, B, Tk), as nn/attention/ranges.h fills them. */
    Tensor *key_ranges, *query_ranges;
    Tensor *bias;      /* u8 for a boolean bias, otherwise f32 (f64 for f64) */
    Tensor *step;      /* u8, the StepState: seeds dropout */
    Tensor *out, *lse; /* lse: in the dtype backend->lse */
    Tensor *dout;      /* from here on only if call.training */
    Tensor *dq, *dk, *dv;
    Tensor *dbias;        /* of an additive bias, laid out as the bias */
    size_t bytes;         /* total on the device */
    size_t backend_bytes; /* of these: kept for backward, including lse and stats, and scratch
                             memory */
    /* Private to the implementation. */
    Device *device;
    Store *store;
    bool packed;
    Tensor *stats, *weights;
    BoundProgram programs[SDPA_PROGRAMS]; /* forward, backward, and both in one program */
} Sdpa;

/* sdpa_create: selects a backend (the first of the choice that accepts the call; count 0: of all)
 * and allocates its memory, zeroed. call->training: sdpa_backward will follow.
 *   Errors: STATUS_CONFIG: the call is invalid (attention_check), two elements of an output share
 *   an address (attention_is_apart: out, and with training every operand with a gradient), or every
 *   backend refuses, each with its reason; STATUS_FAILURE without memory. After a failure *out is
 *   NULL. */
NODISCARD Status sdpa_create(Device *device, const AttentionCall *call, const KernelChoice *choice,
                             Sdpa **out);

/* As sdpa_create, with this backend only, which must be one of the device's. Errors: also its
 * refusal. */
NODISCARD Status sdpa_create_with(Device *device, const AttentionCall *call,
                                  const AttentionBackend *backend, Sdpa **out);
void sdpa_destroy(Sdpa **sdpa);

/* As sdpa_create in two parts: `bytes` is known before any memory is allocated. packed: q, k and v
 * are one tensor, laid out by attention_packed(), and so are dq, dk and dv; each name then refers
 * to the whole tensor. */
NODISCARD Status sdpa_plan(Device *device, const AttentionCall *call,
                           const AttentionBackend *backend, bool packed, Sdpa **out);
NODISCARD Status sdpa_allocate(Sdpa *sdpa);

/* sdpa_forward: out = softmax(scale q k^T + mask) v, and lse. On a GPU it only enqueues;
 * device_download waits. */
NODISCARD Status sdpa_forward(Sdpa *sdpa);

/* sdpa_backward: dq, dk, dv and dbias from dout and the last forward. Errors: STATUS_CONFIG if the
 * call does not train. */
NODISCARD Status sdpa_backward(Sdpa *sdpa);

/* For measurements, in place of sdpa_allocate: allocates the memory if that much is free (*fits),
 * and fills q, k, v, dout and an additive bias with normally distributed numbers; with ranges every
 * query sees every key. */
NODISCARD Status sdpa_allocate_trial(Sdpa *sdpa, bool *fits);

/* *seconds = the time of a forward pass, and of backward if the call trains, as program_time
 * measures it. */
NODISCARD Status sdpa_time(Sdpa *sdpa, int64_t repeats, double limit_s, Spread *seconds);

#ifdef __cplusplus
}
#endif
