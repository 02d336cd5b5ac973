#include "launch/run/experiment.h"

#include "core/cpu/product_bf16.h"
#include "core/cuda/memory.h"
#include "core/ops/quantize.h"
#include "data/token_text.h"
#include "data/tokenizer.h"
#include "launch/base/cpu_share.h"
#include "launch/run/placement.h"
#include "launch/run/saver_memory.h"

#include <math.h>
#include <string.h>

void experiment_configure(Experiment *e, const Config *config) {
    e->config = config;
    e->resolved = resolved_from(config);
    e->T = config->model.T;
}

static bool is_half(const Config *config) {
    DType dtype = config_dtype(config);
    return dtype == DTYPE_F16 || dtype == DTYPE_BF16;
}

static Status device_open(Experiment *e) {
    int threads = cpu_share_take((int)e->config->threads, world_local_rank(e->world),
                                 world_local_size(e->world));
    int count = device_count_cuda(), index = count > 0 ? world_local_rank(e->world) % count : 0;
    bool wants_cuda = e->config->device == CONFIG_DEVICE_CUDA;
    if (e->config->device == CONFIG_DEVICE_AUTO)
        wants_cuda = count > 0 || (e->plan.only && is_half(e->config));
    if (wants_cuda && count == 0 && e->plan.only) {
        Target hopper = {.kind = DEVICE_CUDA, .sm = 90, .n_sms = 132};
        return device_open_planning(hopper, e->plan.device_bytes, &e->device);
    }
    if (wants_cuda) return device_open_cuda(index, &e->device);
    return device_open_cpu(threads, &e->device);
}

/* Why the CPU does not compute in the config's dtype; NULL if it does. */
static const char *cpu_refusal(const Config *config) {
    if (!is_half(config)) return NULL;
    return config_dtype(config) == DTYPE_BF16 ? product_bf16_refusal() : "is not computed";
}

/* Eight-bit products are emulated on the CPU, in f32 only. */
static bool emulates_half(const Config *config) {
    return config->training.matmul == CONFIG_MATMUL_FP8 && is_half(config);
}

bool experiment_would_use_cpu(const Experiment *e) {
    return e->device->planning_bytes > 0 && e->config->device == CONFIG_DEVICE_AUTO &&
           cpu_refusal(e->config) == NULL && !emulates_half(e->config);
}

/* Names what is missing: on the CPU, and of a GPU, which may be just a newer driver. The fix of the
 * GPU's message, the CPU, is none. */
static Status cpu_check(const Config *config, const char *dtype) {
    Device *none = NULL;
    const char *refusal = cpu_refusal(config), *why = "device: cpu was set";
    if (refusal == NULL) return OK;
    if (device_count_cuda() == 0 && failed(device_open_cuda(0, &none))) why = status_message();
    return ERROR(STATUS_CONFIG,
                 "training.dtype %s on the CPU %s; set float32, or train on a GPU (%.*s)", dtype,
                 refusal, (int)strcspn(why, ";"), why);
}

static Status matmul_check(const Experiment *e) {
    const Target *target = &e->device->target;
    if (e->config->training.matmul != CONFIG_MATMUL_FP8) return OK;
    if (target->kind == DEVICE_CPU && emulates_half(e->config)) {
        return ERROR(STATUS_CONFIG, "training.matmul fp8 is emulated in float32 on the CPU; set "
                                    "training.dtype float32");
    }
    if (target->kind == DEVICE_CPU) return OK;
    if (float8_refuses(NULL, target) == NULL) return OK;
    return ERROR(STATUS_CONFIG,
                 "training.matmul fp8 needs compute capability 8.9, %s has %d.%d; set bf16",
                 e->device->name, target->sm / 10, target->sm % 10);
}

Status experiment_open_device(Experiment *e) {
    TRY(device_open(e));
    e->device->sharers = world_local_size(e->world);
    e->device->autotune = e->config->autotune;
    e->device->tf32 = e->config->training.dtype == CONFIG_DTYPE_TF32;
    const char *dtype = config_name("training.dtype", (int)e->config->training.dtype);
    if (e->device->target.kind == DEVICE_CPU) TRY(cpu_check(e->config, dtype));
    if (e->device->target.kind == DEVICE_CUDA &&
        e->config->training.dtype == CONFIG_DTYPE_BFLOAT16 && e->device->target.sm < 80) {
        return ERROR(STATUS_CONFIG,
                     "training.dtype %s needs compute capability 8.0, %s has %d.%d; set float16",
                     dtype, e->device->name, e->device->target.sm / 10, e->device->target.sm % 10);
    }
    if (e->device->target.kind == DEVICE_CUDA && config_dtype(e->config) == DTYPE_F64) {
        return ERROR(STATUS_CONFIG,
                     "training.dtype float64 is for gradient checks on the CPU; add device=cpu");
    }
    return e->evaluates ? OK : matmul_check(e);
}

static Status collectives_create(Experiment *e) {
    if (e->device->target.kind == DEVICE_CPU || world_size(e->world) == 1) {
        TRY(mpi_collectives_create(e->world, e->watchdog, &e->mpi));
        e->collectives = mpi_collectives_table(e->mpi);
        return OK;
    }
    TRY(placement_check(e->world, e->device, e->config->share_gpu, &e->gpu_is_shared));
    if (e->evaluates) return OK;
    if (e->gpu_is_shared)
        TRY(staged_collectives_create(e->world, e->watchdog, &e->gpu));
    else
        TRY(nccl_collectives_create(e->world, e->watchdog, fmax(60, e->config->deadline), &e->gpu));
    e->collectives = gpu_collectives_table(e->gpu);
    return OK;
}

/* Programs are only recorded for these ranks. Ranks that may share a GPU sum through the host. */
static void ranks_suppose(Experiment *e) {
    bool connects =
        e->device->target.kind == DEVICE_CUDA && experiment_ranks(e) > 1 && !e->config->share_gpu;
    e->collectives = (Collectives){.size = (int)experiment_ranks(e)};
    e->communication_bytes = connects ? CUDA_COMMUNICATION_BYTES : 0;
}

static Status ranks_connect(Experiment *e) {
    WatchdogOptions watch = watchdog_defaults();
    watch.hung_after = e->config->deadline;
    watch.lost_after = SAVE_ALLOWANCE + 60; /* other hosts wait while rank 0 saves */
    watch.start_up = SAVE_ALLOWANCE; /* until the end of the first step: a checkpoint to load,
                                        products to time */
    size_t before = 0, after = 0, total;
    TRY(watchdog_create(e->world, &watch, &e->watchdog));
    TRY(world_agree(e->world, device_memory(e->device, &before, &total)));
    TRY(collectives_create(e));
    TRY(world_agree(e->world, device_memory(e->device, &after, &total)));
    if (e->device->target.kind == DEVICE_CUDA && before > after)
        e->communication_bytes = before - after;
    e->device->progress = e->collectives.progress;
    e->device->progress_self = e->collectives.self;
    return OK;
}

Status experiment_connect(Experiment *e) {
    if (!e->plan.only) return ranks_connect(e);
    ranks_suppose(e);
    return OK;
}

/* The token that ends a document: the file's, or data.end_of_text. attention.document_mask needs
 * one. */
static Status end_of_text_settle(Experiment *e, const TokenSet *file) {
    int64_t known = token_set_end_of_text(file), V = e->resolved.vocab_size;
    int64_t *resolved = &e->resolved.end_of_text, said = *resolved;
    if (!e->config->attention.document_mask) {
        if (said == CONFIG_AUTO && known >= 0) *resolved = known;
        return OK;
    }
    if (said == CONFIG_AUTO && known < 0) {
        return ERROR(
            STATUS_CONFIG,
            "attention.document_mask: %s does not say which token ends a document; set "
            "data.end_of_text "
            "(GPT-2's is 50256), or write the file with ./prepare, whose HDF5 files say it",
            token_set_path(file));
    }
    if (said != CONFIG_AUTO && known >= 0 && known != said) {
        return ERROR(STATUS_CONFIG, "data.end_of_text is %lld, but %s ends its documents with %lld",
                     (long long)said, token_set_path(file), (long long)known);
    }
    *resolved = said == CONFIG_AUTO ? known : said;
    if (*resolved < V) return OK;
    return ERROR(STATUS_CONFIG, "data.end_of_text is %lld, but model.vocab_size is %lld",
                 (long long)*resolved, (long long)V);
}

/* The loss on tokens of another tokenizer is meaningless. */
static Status tokenizers_check(const TokenSet *train, const TokenSet *val) {
    if (tokenizer_ids_agree(token_set_tokenizer_id(train), token_set_tokenizer_id(val))) return OK;
    return ERROR(STATUS_DATA,
                 "%s: made with the tokenizer %s, but %s with %s; make both with one ./prepare",
                 token_set_path(val), token_set_tokenizer(val), token_set_path(train),
                 token_set_tokenizer(train));
}

static Status val_open(Experiment *e) {
    const Config *config = e->config;
    TRY(token_set_open(&config->data.val, &e->val_tokens));
    TRY(token_set_require_vocab(e->val_tokens, e->resolved.vocab_size));
    TRY(end_of_text_settle(e, e->val_tokens));
    return evaluation_set_init(e->val_tokens, e->T, config->evaluation.tokens, &e->val);
}

Status experiment_open_data(Experiment *e) {
    const Config *config = e->config;
    int64_t *vocab_size = &e->resolved.vocab_size;
    if (e->evaluates) return val_open(e);
    if (e->plan.only && *vocab_size != CONFIG_AUTO) {
        status_keep(token_set_open(&config->data.train, &e->train_tokens), &e->missing);
        return OK;
    }
    TRY(token_set_open(&config->data.train, &e->train_tokens));
    if (*vocab_size == CONFIG_AUTO) {
        int64_t vocab = token_set_vocab(e->train_tokens);
        *vocab_size = vocab > 0 ? vocab : VOCAB_OF_NAMELESS;
    }
    TRY(token_set_require_vocab(e->train_tokens, *vocab_size));
    TRY(end_of_text_settle(e, e->train_tokens));
    TRY(loader_init(e->train_tokens, config->seed, e->T, &e->train));
    if (config->data.val.count == 0) return OK;
    TRY(val_open(e));
    return tokenizers_check(e->train_tokens, e->val_tokens);
}

ModelConfig experiment_model_config(const Config *config, int64_t vocab_size) {
    ModelConfig model = config->model;
    int64_t pad = config->pad_vocab;
    model.V = vocab_size;
    model.Vp = (vocab_size + pad - 1) / pad * pad;
    return model_config_complete(model);
}

KernelChoice experiment_attention(const Resolved *resolved) {
    KernelChoice choice = {.count = resolved->backends.count};
    for (int i = 0; i < choice.count; i++)
        choice.names[i] = config_name("attention.backends", resolved->backends.items[i]);
    return choice;
}

/* --plan --ranks plans for rank 0 of a hypothetical number of ranks. */
static Sharding sharding_of(const Experiment *e) {
    int ranks = (int)experiment_ranks(e);
    bool is_sharded = e->config->training.shard_optimizer && ranks > 1 && !e->evaluates;
    return (Sharding){
        .rank = e->plan.only ? 0 : world_rank(e->world), .ranks = ranks, .is_sharded = is_sharded};
}

bool experiment_keeps_snapshots(const Experiment *e) {
    if (saver_memory_files(e->config) == 0) return false;
    int rank = world_rank(e->world);
    if (!sharding_of(e).is_sharded) return world_local_rank(e->world) == 0;
    return rank == 0 || rank == world_second_host(e->world);
}

PlanInput experiment_plan_input(const Experiment *e) {
    const Device *device = e->device;
    return (PlanInput){
        .config = e->config,
        .model = experiment_model_config(e->config, e->resolved.vocab_size),
        .target = device->target,
        .sharding = sharding_of(e),
        .collectives = &e->collectives,
        .evaluates = e->evaluates,
        .keeps_logits = e->keeps_logits,
        .end_of_text = e->resolved.end_of_text,
        .B = e->resolved.batch_size,
        .attention = experiment_attention(&e->resolved),
        .overhead_bytes = device->context_bytes + device->workspace_bytes + e->communication_bytes,
        .ceilings = e->ceilings,
        .network = {.device = device->target.kind,
                    .ranks = experiment_ranks(e),
                    .hosts = e->plan.hosts,
                    .bytes_per_s = e->plan.network},
    };
}

Status experiment_record(Experiment *e) {
    PlanInput input = experiment_plan_input(e);
    recorded_destroy(&e->recorded);
    TRY(recorded_create(&input, &e->recorded));
    e->planned = plan_result(&input, &e->recorded);
    return OK;
}

void experiment_destroy(Experiment *e) {
    gpu_collectives_release(e->gpu);
    recorded_destroy(&e->recorded);
    data_identity_close(&e->data);
    token_set_destroy(&e->train_tokens);
    token_set_destroy(&e->val_tokens);
    device_close(&e->device);
    gpu_collectives_destroy(&e->gpu);
    mpi_collectives_destroy(&e->mpi);
    watchdog_destroy(&e->watchdog);
}

int64_t experiment_ranks(const Experiment *e) {
    return e->plan.ranks > 0 ? e->plan.ranks : world_size(e->world);
}

static int64_t micro_tokens(const Experiment *e) {
    return experiment_ranks(e) * e->resolved.batch_size * e->T;
}

Phases experiment_phases(const Experiment *e) { return phases_of(e->config, micro_tokens(e)); }

int64_t experiment_accumulation(const Experiment *e) {
    return experiment_phases(e).list[e->phase].accumulation;
}

double experiment_flops_per_token(const Experiment *e) {
    return model_flops_per_token(e->recorded.model, e->recorded.parameters,
                                 experiment_phases(e).list[e->phase].windows);
}

int64_t experiment_tokens_per_step(const Experiment *e) {
    return micro_tokens(e) * experiment_accumulation(e);
}
