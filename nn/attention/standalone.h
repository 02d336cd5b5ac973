/* The attention operator without a model: an application says what it wants to compute, fills the
 * inputs, and runs it.
 *
 *   Sdpa *sdpa;
 *   TRY(sdpa_create(device, &call, &choice, &sdpa));
 *   TRY(device_upload(device, sdpa->q, q));            also k, v, and what the call's masks need
 *   TRY(sdpa_forward(sdpa));
 *   TRY(device_download(device, out, sdpa->out));
 *
 * Memory is taken once, when it is created. Not collective. */
#pragma once

#include "core/bound_program.h"
#include "core/store.h"
#include "nn/attention/attention.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SDPA_PROGRAMS = 3 };

/* Where everything is: upload inputs before a run, download outputs after it. Each is a vector
 * whose elements lie where the call's layouts say, of the call's dtype where nothing else is said.
 * What the call has no use for is NULL. */
typedef struct Sdpa {
    AttentionCall call;
    const AttentionBackend *backend; /* the one that was picked */
    Tensor *q, *k, *v;
    /* i32 (2, B, Tq), (2, B, Tk), as nn/attention/ranges.h fills them. */
    Tensor *key_ranges, *query_ranges;
    Tensor *bias;      /* u8 for a boolean one, otherwise f32 (f64 for f64) */
    Tensor *step;      /* u8, the StepState: seeds dropout */
    Tensor *out, *lse; /* lse: of backend->lse */
    Tensor *dout;      /* from here on where call.training */
    Tensor *dq, *dk, *dv;
    Tensor *dbias;        /* of an additive bias, as the bias */
    size_t bytes;         /* of everything on the device */
    size_t backend_bytes; /* of them: what the backend keeps for backward, lse and stats included,
                             and its scratch */
    /* Below: the implementation's own. */
    Device *device;
    Store *store;
    bool packed;
    Tensor *stats, *weights;
    BoundProgram programs[SDPA_PROGRAMS]; /* forward, backward, and both as one */
} Sdpa;

/* sdpa_create: picks a backend (the first of the choice that takes the call; count 0: of all) and
 * takes its memory, zeroed. call->training: sdpa_backward will follow.
 *   Errors: STATUS_CONFIG: the call makes no sense (attention_check), what is written has two
 *   elements in one place (attention_is_apart: out, and where the call trains what has a gradient),
 *   or every backend refuses, each with its reason; STATUS_FAILURE without memory. *out is NULL
 *   then. */
NODISCARD Status sdpa_create(Device *device, const AttentionCall *call, const KernelChoice *choice,
                             Sdpa **out);

/* The same by this backend and no other, which must be one of the device's. Errors: also its
 * refusal. */
NODISCARD Status sdpa_create_with(Device *device, const AttentionCall *call,
                                  const AttentionBackend *backend, Sdpa **out);
void sdpa_destroy(Sdpa **sdpa);

/* The same in two parts: bytes are known before any memory is taken. packed: q, k and v are one
 * tensor, laid out by attention_packed(), and so are dq, dk and dv; each of the names stands for
 * the whole of it. */
NODISCARD Status sdpa_plan(Device *device, const AttentionCall *call,
                           const AttentionBackend *backend, bool packed, Sdpa **out);
NODISCARD Status sdpa_allocate(Sdpa *sdpa);

/* sdpa_forward: out = softmax(scale q k^T + mask) v, and lse. On a GPU it is enqueued;
 * device_download waits. */
NODISCARD Status sdpa_forward(Sdpa *sdpa);

/* sdpa_backward: dq, dk, dv and dbias from dout and the last forward. Errors: STATUS_CONFIG where
 * the call does not train. */
NODISCARD Status sdpa_backward(Sdpa *sdpa);

/* What measurements do instead of sdpa_allocate: takes the memory where that much is free (*fits),
 * and fills q, k, v, dout and an additive bias with numbers of a normal distribution; ranges let
 * every query see every key. */
NODISCARD Status sdpa_allocate_trial(Sdpa *sdpa, bool *fits);

/* *seconds = the time of a forward pass, where the call trains with its backward, as program_time
 * takes it. */
NODISCARD Status sdpa_time(Sdpa *sdpa, int64_t repeats, double limit_s, double *seconds);

#ifdef __cplusplus
}
#endif
