/* Trial: one attention call by itself on one backend, forward alone or with its backward, on random inputs. It is what
 * measuring (nn/attention/measure.h) and the benchmarks replay. Not collective. */
#pragma once

#include "core/device.h"
#include "core/plan.h"
#include "core/store.h"
#include "nn/attention/attention.h"

typedef struct AttentionTrial {
    Device *device;
    Store *store; /* what goes in and comes out */
    Program *program;
    Plan *plan; /* the rest: what the backend keeps for backward, and its workspace */
    void *arena;
    Tensor *qkv, *out, *dout, *dqkv;   /* (B, T, 3C), (B, T, C) */
    Tensor *step;                      /* u8: the StepState */
    Tensor *key_ranges, *query_ranges; /* (2, B, T) i32; NULL where the call has no ranges */
} AttentionTrial;

/* Records and plans the trial; touches no memory of the device. The call is a packed one with Tq = Tk and no bias
 * (attention_call_packed), and the backend takes it. attention_trial_destroy also after a failure. */
NODISCARD Status attention_trial_create(Device *device, const AttentionCall *call, const AttentionBackend *backend,
                                        bool backward, AttentionTrial *out);
void attention_trial_destroy(AttentionTrial *trial);

/* Bytes that the trial takes on the device. */
size_t attention_trial_bytes(const AttentionTrial *trial);

/* Takes the memory and fills qkv and dout with numbers of a normal distribution; ranges let every query see every key.
 */
NODISCARD Status attention_trial_bind(AttentionTrial *trial);
