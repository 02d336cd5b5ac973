/* Device: executes programs. The CPU is always available; a GPU if the build supports it and the
 * machine has one.
 *
 * A device is opened for one rank, allocates a few large blocks, copies, and replays programs.
 * Nothing here is collective. Memory is zeroed and aligned to PLAN_ALIGNMENT. */
#pragma once

#include "core/program.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Called before every op of an op-by-op replay, with the activity of this rank. */
typedef void (*ProgressFn)(void *self, const char *activity);

/* The time of one op, from device_profile. */
typedef struct OpTime {
    const Node *node;
    double start_s, duration_s; /* since the start of the replay */
} OpTime;

/* A small asynchronous read-back: see device_fetch_start. */
enum { DEVICE_FETCH_BYTES = 64 };
typedef struct Fetch {
    size_t bytes;
    int slot;
    unsigned char data[DEVICE_FETCH_BYTES]; /* on the CPU: the copy */
} Fetch;

typedef struct DeviceOps {
    Status (*alloc)(Device *device, size_t bytes, void **out);
    void (*release)(Device *device, void *memory, size_t bytes);
    Status (*memory)(Device *device, size_t *free_bytes, size_t *total_bytes);
    Status (*upload)(Device *device, void *to, const void *from, size_t bytes);
    Status (*download)(Device *device, void *to, const void *from, size_t bytes);
    Status (*host_alloc)(Device *device, size_t bytes, void **out);
    void (*host_free)(Device *device, void *memory, size_t bytes);
    Status (*copy_start)(Device *device, void *to, const void *from, size_t bytes);
    Status (*copy_wait)(Device *device);
    Status (*fetch_start)(Device *device, Fetch *fetch, const void *from);
    Status (*fetch_finish)(Device *device, Fetch *fetch);
    Status (*replay)(Device *device, const Program *p);
    Status (*profile)(Device *device, const Program *p, OpTime *times);
    Status (*synchronize)(Device *device);
    void (*close)(Device *device);
} DeviceOps;

struct Device {
    const DeviceOps *ops;
    Target target;
    char name[128];
    char location[32]; /* PCI bus id of a GPU; "" for the CPU */
    double peak_flops; /* FLOP/s, dense, in bf16 and f16 with f32 sums; 0 if unknown (the CPU) */
    double peak_flops_f32; /* the same in true f32 */
    double peak_bytes;     /* bytes per second, read and written */
    size_t allocated_bytes;
    int sharers;           /* ranks of this host that share the CPU's memory; default 1 */
    size_t planning_bytes; /* memory of a planning device; 0 for a real device */
    /* GPU memory in use beside this process's tensors; 0 on the CPU. */
    size_t context_bytes; /* context, code, graphs; partly allocated at the first replays */
    size_t coming_bytes; /* the part of context_bytes that was not yet allocated when the device was
                            opened */
    size_t workspace_bytes; /* of the matrix product library */
    size_t others_bytes;    /* used by other processes when the device was opened, if measurable */
    bool tf32;              /* CUDA: allow tf32 in products of f32 tensors; default off */
    bool autotune; /* CUDA: time the candidates for each product once; default on. Set tf32 and
                      autotune before the first replay */
    ProgressFn progress; /* may be NULL */
    void *progress_self;
    /* CPU: called before each op that writes state (node_writes_state); may be NULL. */
    void (*before_update)(void *self);
    void *before_update_self;
};

/* Opens the CPU with this number of OpenMP threads (0: all that this process may use). */
NODISCARD Status device_open_cpu(int threads, Device **out);

/* Opens GPU `index` of this host. STATUS_CONFIG, with the reason, if there is no GPU or this build
 * has no CUDA. */
NODISCARD Status device_open_cuda(int index, Device **out);

/* A planning device: a GPU that is not present. It reports its memory and refuses all other calls
 * with STATUS_CONFIG. */
NODISCARD Status device_open_planning(Target target, size_t bytes, Device **out);

/* The number of GPUs visible to this process; 0 without CUDA. */
int device_count_cuda(void);

void device_close(Device **device);

/* `what` names the memory in error messages. */
NODISCARD Status device_alloc(Device *device, size_t bytes, const char *what, void **out);
void device_free(Device *device, void *memory, size_t bytes);

/* Free and total bytes of the device's memory. On the CPU: this process's share of the memory of
 * the machine and its control groups, limited by the process's own limits
 * (core/base/host_limits.h), less the memory that the process needs beside tensors. */
NODISCARD Status device_memory(Device *device, size_t *free_bytes, size_t *total_bytes);

/* Copies from the host, in order with replays: does not wait for a running replay and does not
 * affect it. `from` may be reused immediately. */
NODISCARD Status device_upload(Device *device, const Tensor *to, const void *from);

/* Copies to the host after all replays so far; returns when the copy is complete. */
NODISCARD Status device_download(Device *device, void *to, const Tensor *from);

/* Memory of the host for copies of the state: on a GPU pinned, because only a copy to that runs
 * beside training. If none can be pinned, it is ordinary memory. Its content is undefined. Errors:
 * STATUS_OUT_OF_MEMORY. */
NODISCARD Status device_host_alloc(Device *device, size_t bytes, void **out);
void device_host_free(Device *device, void *memory, size_t bytes);

/* Begins to copy state (tensor_is_state) into memory of device_host_alloc, as it is after all
 * replays so far. On a GPU training goes on meanwhile: each program waits for the copies before its
 * first op that writes state, and so does device_upload to state. To memory that is not pinned it
 * copies before it returns, as the CPU does. */
NODISCARD Status device_copy_start(Device *device, void *to, const Tensor *from);

/* Waits for the copies begun so far, and returns the failure of one. Any thread may call it. */
NODISCARD Status device_copy_wait(Device *device);

/* device_download for a small tensor (at most DEVICE_FETCH_BYTES), asynchronously: start it after a
 * replay and finish it when the value is needed, perhaps a step later. At most 64 may be pending.
 */
NODISCARD Status device_fetch_start(Device *device, Fetch *fetch, const Tensor *from);
NODISCARD Status device_fetch_finish(Device *device, Fetch *fetch, void *to);

/* Runs a bound program: op by op on the CPU; on a GPU as one graph, captured at the first replay
 * and launched asynchronously (see device_synchronize). The graph contains addresses, so bind a
 * program once, before its first replay. */
NODISCARD Status device_replay(Device *device, const Program *p);

/* Runs it op by op on every device and times each op: times[i] belongs to p->nodes[i]. */
NODISCARD Status device_profile(Device *device, const Program *p, OpTime *times);

NODISCARD Status device_synchronize(Device *device);

#ifdef __cplusplus
}
#endif
