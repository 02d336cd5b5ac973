/* Device: where programs run. The CPU is here always; a GPU where the build and the machine have
 * one.
 *
 * A device is opened for one rank, allocates few and large blocks, copies, and replays programs.
 * Nothing here is collective. Memory comes zeroed and aligned to PLAN_ALIGNMENT. */
#pragma once

#include "core/program.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Called before every op of an op-by-op replay: says what this rank is doing. */
typedef void (*ProgressFn)(void *self, const char *activity);

/* What one op took, from device_profile. */
typedef struct OpTime {
    const Node *node;
    double start_s, duration_s; /* from the replay's start */
} OpTime;

/* A small read-back on its way: see device_fetch_start. */
enum { DEVICE_FETCH_BYTES = 64 };
typedef struct Fetch {
    size_t bytes;
    int slot;
    unsigned char data[DEVICE_FETCH_BYTES]; /* on the CPU: the copy itself */
} Fetch;

typedef struct DeviceOps {
    Status (*alloc)(Device *device, size_t bytes, void **out);
    void (*release)(Device *device, void *memory, size_t bytes);
    Status (*memory)(Device *device, size_t *free_bytes, size_t *total_bytes);
    Status (*upload)(Device *device, void *to, const void *from, size_t bytes);
    Status (*download)(Device *device, void *to, const void *from, size_t bytes);
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
    char location[32]; /* a GPU's PCI bus id; "" for the CPU */
    double peak_flops; /* per second, dense, in bf16 and f16 with f32 sums; 0 where it is not known
                          (the CPU) */
    double peak_flops_f32; /* the same in true f32 */
    double peak_bytes;     /* a second, from and to memory */
    size_t allocated_bytes;
    int sharers;           /* of the CPU's memory: ranks of this host, 1 unless said otherwise */
    size_t planning_bytes; /* a planning device's memory; 0 for a real device */
    /* What a GPU gives for this process to be there at all; 0 on the CPU. */
    size_t context_bytes;   /* context, code, captured graphs; partly taken at the first replays */
    size_t coming_bytes;    /* how much of context_bytes was not yet taken when the device had been
                               opened */
    size_t workspace_bytes; /* of the products' library */
    size_t others_bytes; /* in use by other processes when the device was opened, as far as can be
                            told */
    bool tf32;           /* CUDA: products of f32 tensors may round their factors to tf32; off */
    bool autotune; /* CUDA: time the candidates for each product once; on. Set both before the first
                      replay */
    ProgressFn progress; /* may be NULL */
    void *progress_self;
};

/* Opens the CPU with this many OpenMP threads (0: all that this process may run on). */
NODISCARD Status device_open_cpu(int threads, Device **out);

/* Opens GPU `index` of this host. STATUS_CONFIG without a GPU or without CUDA in this build, with
 * the reason. */
NODISCARD Status device_open_cuda(int index, Device **out);

/* A planning device: a GPU that is not here. It answers how much memory it has, and refuses all
 * else with STATUS_CONFIG. */
NODISCARD Status device_open_planning(Target target, size_t bytes, Device **out);

/* How many GPUs this process sees; 0 without CUDA. */
int device_count_cuda(void);

void device_close(Device **device);

/* `what` names the memory in the message of a failure. */
NODISCARD Status device_alloc(Device *device, size_t bytes, const char *what, void **out);
void device_free(Device *device, void *memory, size_t bytes);

/* Bytes of the device's memory: not in use by anyone, and in all. On the CPU this process's share
 * of what the machine and its control groups have, and no more than its own limits allow
 * (core/base/host_limits.h); what a process takes beside tensors is not free. */
NODISCARD Status device_memory(Device *device, size_t *free_bytes, size_t *total_bytes);

/* Copies from the host, in order with replays: a replay that is running is not waited for and does
 * not see it. `from` may be reused at once. */
NODISCARD Status device_upload(Device *device, const Tensor *to, const void *from);

/* Copies to the host what all replays so far leave; done when it returns. */
NODISCARD Status device_download(Device *device, void *to, const Tensor *from);

/* The same for a small tensor (DEVICE_FETCH_BYTES at most) without waiting: start it after a
 * replay, finish it when the value is wanted, perhaps a step later. At most 64 may be under way. */
NODISCARD Status device_fetch_start(Device *device, Fetch *fetch, const Tensor *from);
NODISCARD Status device_fetch_finish(Device *device, Fetch *fetch, void *to);

/* Runs a bound program: op by op on the CPU, on a GPU as one graph that the first replay captures
 * (asynchronously: see device_synchronize). Addresses are captured: a program is bound once, before
 * its first replay. */
NODISCARD Status device_replay(Device *device, const Program *p);

/* The same, op by op on every device, timing each: times[i] belongs to p->nodes[i]. */
NODISCARD Status device_profile(Device *device, const Program *p, OpTime *times);

NODISCARD Status device_synchronize(Device *device);

#ifdef __cplusplus
}
#endif
