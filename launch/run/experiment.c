#include "launch/run/experiment.h"

#include "core/cuda/memory.h"
#include "data/token_text.h"
#include "data/tokenizer.h"
#include "launch/base/cpu_share.h"
#include "launch/run/attention_choice.h"
#include "launch/run/memory_search.h"
#include "launch/run/placement.h"
#include "nn/models/families.h"

#include <math.h>

enum { LOGITS_BYTES_CPU = 64 << 20, LOGITS_BYTES_CUDA = 512 << 20 };

DType experiment_dtype(const Config *config) {
    switch (config->training.dtype) {
    case CONFIG_DTYPE_FLOAT64: return DTYPE_F64;
    case CONFIG_DTYPE_BFLOAT16: return DTYPE_BF16;
    case CONFIG_DTYPE_FLOAT16: return DTYPE_F16;
    case CONFIG_DTYPE_FLOAT32:
    case CONFIG_DTYPE_TF32: break;
    }
    return DTYPE_F32;
}

static bool is_narrow(const Config *config) {
    DType dtype = experiment_dtype(config);
    return dtype == DTYPE_F16 || dtype == DTYPE_BF16;
}

static Status device_open(Experiment *e) {
    int threads = cpu_share_take((int)e->config->threads, world_local_rank(e->world),
                                 world_local_size(e->world));
    int count = device_count_cuda(), index = count > 0 ? world_local_rank(e->world) % count : 0;
    bool wants_cuda = e->config->device == CONFIG_DEVICE_CUDA;
    if (e->config->device == CONFIG_DEVICE_AUTO)
        wants_cuda = count > 0 || (e->plan.only && is_narrow(e->config));
    if (wants_cuda && count == 0 && e->plan.only) {
        Target hopper = {.kind = DEVICE_CUDA, .sm = 90, .n_sms = 132};
        return device_open_paper(hopper, e->plan.device_bytes, &e->device);
    }
    if (wants_cuda)
        return device_open_cuda(index,
                                &e->device); /* placement_check tells whether ranks share one */
    return device_open_cpu(threads, &e->device);
}

/* With the reason why there is none, which may be no more than an old driver. */
static Status no_gpu_for(const char *dtype, ConfigDevice asked) {
    Device *none = NULL;
    const char *why = "device: cpu was set";
    if (asked != CONFIG_DEVICE_CPU && failed(device_open_cuda(0, &none))) why = status_message();
    return ERROR(STATUS_CONFIG,
                 "training.dtype %s needs a GPU; the CPU computes in float32 and float64 (%s)",
                 dtype, why);
}

Status experiment_open_device(Experiment *e) {
    TRY(device_open(e));
    e->device->sharers = world_local_size(e->world);
    e->device->autotune = e->config->autotune;
    e->device->tf32 = e->config->training.dtype == CONFIG_DTYPE_TF32;
    const char *dtype = config_name("training.dtype", (int)e->config->training.dtype);
    if (e->device->target.kind == DEVICE_CPU && is_narrow(e->config))
        return no_gpu_for(dtype, e->config->device);
    if (e->device->target.kind == DEVICE_CUDA &&
        e->config->training.dtype == CONFIG_DTYPE_BFLOAT16 && e->device->target.sm < 80) {
        return ERROR(STATUS_CONFIG,
                     "training.dtype %s needs compute capability 8.0, %s has %d.%d; set float16",
                     dtype, e->device->name, e->device->target.sm / 10, e->device->target.sm % 10);
    }
    if (e->device->target.kind == DEVICE_CUDA && experiment_dtype(e->config) == DTYPE_F64) {
        return ERROR(STATUS_CONFIG,
                     "training.dtype float64 is for gradient checks on the CPU; add device=cpu");
    }
    return OK;
}

static Status collectives_create(Experiment *e) {
    if (e->device->target.kind == DEVICE_CPU || world_size(e->world) == 1) {
        TRY(mpi_collectives_create(e->world, e->watchdog, &e->mpi));
        e->collectives = mpi_collectives_table(e->mpi);
        return OK;
    }
    TRY(placement_check(e, &e->gpu_is_shared));
    if (e->evaluates) return OK;
    if (e->gpu_is_shared)
        TRY(staged_collectives_create(e->world, e->watchdog, &e->gpu));
    else
        TRY(nccl_collectives_create(e->world, e->watchdog, fmax(60, e->config->deadline), &e->gpu));
    e->collectives = gpu_collectives_table(e->gpu);
    return OK;
}

Status experiment_connect(Experiment *e) {
    WatchdogOptions watch = watchdog_defaults();
    watch.hung_after = e->config->deadline;
    watch.lost_after = SAVE_ALLOWANCE + 60; /* other hosts wait while rank 0 saves */
    watch.start_up = SAVE_ALLOWANCE; /* until the first step is through: a checkpoint to load,
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

/* The token that ends a document: a file knows it, or the user says it. attention.document_mask
 * cannot do without. */
static Status end_of_text_settle(Experiment *e, const TokenFile *file) {
    ConfigData *data = &e->config->data;
    int64_t known = token_file_end_of_text(file), said = data->end_of_text,
            V = e->config->model.vocab_size;
    if (!e->config->attention.document_mask) {
        if (said == CONFIG_AUTO && known >= 0) data->end_of_text = known;
        return OK;
    }
    if (said == CONFIG_AUTO && known < 0) {
        return ERROR(
            STATUS_CONFIG,
            "attention.document_mask: %s does not say which token ends a document; set "
            "data.end_of_text "
            "(GPT-2's is 50256), or write the file with ./prepare, whose HDF5 files say it",
            token_file_path(file));
    }
    if (said != CONFIG_AUTO && known >= 0 && known != said) {
        return ERROR(STATUS_CONFIG, "data.end_of_text is %lld, but %s ends its documents with %lld",
                     (long long)said, token_file_path(file), (long long)known);
    }
    data->end_of_text = said == CONFIG_AUTO ? known : said;
    if (data->end_of_text < V) return OK;
    return ERROR(STATUS_CONFIG, "data.end_of_text is %lld, but model.vocab_size is %lld",
                 (long long)data->end_of_text, (long long)V);
}

/* Numbers that stand for other text have a loss all the same, which says nothing. */
static Status tokenizers_check(const TokenFile *train, const TokenFile *val) {
    if (tokenizer_ids_agree(token_file_tokenizer_id(train), token_file_tokenizer_id(val)))
        return OK;
    return ERROR(STATUS_DATA,
                 "%s: made with the tokenizer %s, but %s with %s; make both with one ./prepare",
                 token_file_path(val), token_file_tokenizer(val), token_file_path(train),
                 token_file_tokenizer(train));
}

static Status val_open(Experiment *e) {
    const Config *config = e->config;
    TRY(token_file_open(config->data.val, &e->val_file));
    TRY(token_file_require_vocab(e->val_file, config->model.vocab_size));
    TRY(end_of_text_settle(e, e->val_file));
    return evaluation_set_init(e->val_file, e->T, config->evaluation.tokens, &e->val);
}

Status experiment_open_data(Experiment *e) {
    Config *config = e->config;
    e->T = config->model.block_size;
    if (e->evaluates) return val_open(e);
    if (e->plan.only && config->model.vocab_size != CONFIG_AUTO) return OK;
    TRY(token_file_open(config->data.train, &e->train_file));
    if (config->model.vocab_size == CONFIG_AUTO) {
        int64_t vocab = token_file_vocab(e->train_file);
        config->model.vocab_size = vocab > 0 ? vocab : VOCAB_OF_NAMELESS;
    }
    TRY(token_file_require_vocab(e->train_file, config->model.vocab_size));
    TRY(end_of_text_settle(e, e->train_file));
    TRY(loader_init(e->train_file, config->seed, e->T, &e->train));
    if (config->data.val == NULL) return OK;
    TRY(val_open(e));
    return tokenizers_check(e->train_file, e->val_file);
}

ModelConfig experiment_model_config(const Config *config) {
    const ConfigModel *m = &config->model;
    int64_t pad = m->pad_vocab;
    return (ModelConfig){
        .family = model_family("gpt2"),
        .V = m->vocab_size,
        .Vp = (m->vocab_size + pad - 1) / pad * pad,
        .T = m->block_size,
        .L = m->n_layer,
        .NH = m->n_head,
        .C = m->n_embd,
        .bias = m->bias,
        .dropout = m->dropout,
    };
}

static TrainingOptions training_options(Experiment *e, int64_t B) {
    const Config *config = e->config;
    const ConfigOptimizer *o = &config->optimizer;
    return (TrainingOptions){
        .B = B,
        .T = e->T,
        .accumulation = e->evaluates ? 0 : config->training.gradient_accumulation_steps,
        .ranks = experiment_ranks(e),
        .attention = &e->attention,
        .document_mask = config->attention.document_mask,
        .end_of_text = (int32_t)config->data.end_of_text,
        .recompute = config->training.recompute == CONFIG_RECOMPUTE_BLOCK  ? RECOMPUTE_BLOCK
                     : config->training.recompute == CONFIG_RECOMPUTE_GELU ? RECOMPUTE_GELU
                                                                           : RECOMPUTE_NONE,
        .logits_bytes = e->device->target.kind == DEVICE_CPU ? LOGITS_BYTES_CPU : LOGITS_BYTES_CUDA,
        .adamw = {.beta1 = o->betas[0],
                  .beta2 = o->betas[1],
                  .eps = o->eps,
                  .weight_decay = o->weight_decay,
                  .clip = o->grad_clip},
        .collectives = &e->collectives,
        .rows = e->device->target.kind == DEVICE_CUDA,
    };
}

static void plan_forget(Experiment *e) {
    training_destroy(&e->training);
    model_destroy(&e->model);
    parameters_destroy(&e->parameters);
    store_destroy(&e->store);
}

/* A plan may be for ranks that are not here; it is rank 0's. */
static Sharing sharing_of(const Experiment *e) {
    int ranks = (int)experiment_ranks(e);
    bool is_shared = e->config->training.shard_optimizer && ranks > 1 && !e->evaluates;
    return (Sharing){
        .rank = e->plan.only ? 0 : world_rank(e->world), .ranks = ranks, .is_shared = is_shared};
}

/* A plan connects nobody: its programs are recorded for ranks that they never meet. Ranks that may
 * share a GPU are supposed to, and then to sum through the host. */
static void ranks_suppose(Experiment *e) {
    bool connects =
        e->device->target.kind == DEVICE_CUDA && experiment_ranks(e) > 1 && !e->config->share_gpu;
    e->collectives = (Collectives){.size = (int)experiment_ranks(e)};
    e->communication_bytes = connects ? CUDA_COMMUNICATION_BYTES : 0;
}

Status experiment_plan_for(Experiment *e, int64_t B) {
    plan_forget(e);
    if (e->plan.only) ranks_suppose(e);
    DType dtype = experiment_dtype(e->config);
    ModelConfig model = experiment_model_config(e->config);
    TrainingOptions options = training_options(e, B);
    TRY(store_create(&e->store));
    TRY(parameters_create(e->store, dtype, !e->evaluates, &e->parameters));
    e->parameters->sharing = sharing_of(e);
    TRY(model_create(&model, e->parameters, &e->model));
    TRY(step_tensors_create(e->store, B, e->T, dtype, &e->step));
    return training_create(e->model, e->parameters, &e->step, e->device->target, &options,
                           &e->training);
}

size_t experiment_planned_bytes(const Experiment *e) {
    const Device *device = e->device;
    return store_bytes(e->store) + e->training->arena_bytes + device->context_bytes +
           device->workspace_bytes + e->communication_bytes;
}

/* data.batch_size: auto. */
static Status batch_settle(Experiment *e, int64_t *B) {
    TRY(world_agree(e->world, fit_batch(e, B)));
    return world_min_i64(e->world, B);
}

Status experiment_plan(Experiment *e) {
    bool waits = e->plan.only || e->config->attention.pick == CONFIG_PICK_PREDICTED,
         on_gpu = e->device->target.kind == DEVICE_CUDA;
    if (!e->ceilings.measured)
        e->ceilings = ceilings_find(e->device, experiment_dtype(e->config), on_gpu && waits);
    TRY(fit_pick(e));
    int64_t B = e->config->data.batch_size;
    bool chooses = B == CONFIG_AUTO, changed = false;
    if (chooses) B = 1;
    TRY(attention_settle(e, B));
    if (chooses) TRY(batch_settle(e, &B));
    TRY(attention_settle_measured(e, B, &changed));
    if (chooses && changed) TRY(batch_settle(e, &B));
    e->config->data.batch_size = B;
    if (world_rank(e->world) == 0) TRY(attention_compare(e, B));
    return experiment_plan_for(e, B);
}

Status experiment_allocate(Experiment *e) {
    TRY(world_agree(e->world,
                    fit_check(e))); /* nobody takes before all have looked at what is free */
    TRY(store_allocate(e->store, e->device));
    TRY(training_bind(e->training, e->device));
    return e->evaluates ? OK : parameters_initialize(e->parameters, e->device, e->config->seed);
}

void experiment_destroy(Experiment *e) {
    gpu_collectives_release(e->gpu);
    plan_forget(e);
    data_identity_close(&e->data);
    token_file_destroy(&e->train_file);
    token_file_destroy(&e->val_file);
    device_close(&e->device);
    gpu_collectives_destroy(&e->gpu);
    mpi_collectives_destroy(&e->mpi);
    watchdog_destroy(&e->watchdog);
    config_destroy(&e->config);
}

int64_t experiment_ranks(const Experiment *e) {
    return e->plan.ranks > 0 ? e->plan.ranks : world_size(e->world);
}

int64_t experiment_tokens_per_step(const Experiment *e) {
    const Config *c = e->config;
    return experiment_ranks(e) * c->data.batch_size * c->training.gradient_accumulation_steps *
           e->T;
}
