#include "launch/config/schema.h"

#include "core/ops/adamw.h"
#include "core/ops/short_conv.h"
#include "nn/models/families.h"

#include <stddef.h>

static const char *const device_names[] = {"auto", "cpu", "cuda", NULL};
static const char *const norm_names[] = {"layernorm", "rmsnorm", NULL};
static const char *const position_names[] = {"learned", "rope", "none", NULL};
static const char *const scaling_names[] = {"none", "linear", "llama3", "yarn", NULL};
static const char *const mlp_names[] = {"gelu", "swiglu", "geglu", "relu2", NULL};
static const char *const block_names[] = {"sequential", "parallel", NULL};
static const char *const qkv_bias_names[] = {"auto", "true", "false", NULL};
static const char *const bool_names[] = {"false", "true", NULL};
static const char *const pick_names[] = {"order", "measured", "predicted", NULL};
static const char *const dtype_names[] = {"float32", "float64", "bfloat16",
                                          "float16", "tf32",    NULL};
static const char *const recompute_names[] = {"none", "gelu", "block", NULL};
static const char *const matmul_names[] = {"bf16", "fp8", NULL};
static const char *const product_names[] = {"forward", "dx", "dw", NULL};
static const char *const float8_names[] = {"e5m2", "e4m3", NULL};
static const char *const float8_scaling_names[] = {"delayed", "current", NULL};
static const char *const fast_names[] = {"none", "forward", "all", NULL};
static const char *const matrices_names[] = {"adamw", "muon", NULL};
static const char *const iteration_names[] = {"polar_express", "quintic", NULL};
static const char *const shape_names[] = {"cosine", "linear", "wsd", "constant", NULL};
static const char *const reduce_names[] = {"best", "last", "mean", NULL};

#define FREE RESUME_FREE
#define MUST RESUME_MUST_MATCH
#define BATCH RESUME_GLOBAL_BATCH
#define AT(member) offsetof(Config, member)
#define ANY 0, 0, false, NULL
#define FROM(low, high) (low), (high), false, NULL
#define BELOW(low, high) (low), (high), true, NULL
#define ONE_OF(names) 0, 0, false, (names)
#define MANY 1e15

/* clang-format off */

/* The three keys of a kind of parameter. */
#define GROUP(kind, what)                                                                          \
    {"optimizer." #kind ".lr", FIELD_FLOAT_OR_AUTO, "auto", FROM(0, 1000),                         \
     AT(optimizer.kind.lr), MUST, "maximum learning rate of " what},                               \
    {"optimizer." #kind ".betas", FIELD_FLOAT_PAIR_OR_AUTO, "auto", BELOW(0, 1),                   \
     AT(optimizer.kind.betas), MUST, "their betas"},                                               \
    {"optimizer." #kind ".weight_decay", FIELD_FLOAT_OR_AUTO, "auto", FROM(0, 1000),               \
     AT(optimizer.kind.weight_decay), MUST, "their weight decay"}

const Field schema[] = {
    {"name", FIELD_STRING, NULL, ANY, AT(name), FREE,
     "name of the run; by default the file name without its extension"},
    {"seed", FIELD_U64, "1337", ANY, AT(seed), MUST,
     "seed of the initial weights, dropout and the order of the data"},
    {"device", FIELD_ENUM, "auto", ONE_OF(device_names), AT(device), FREE,
     "compute device; auto takes a GPU if there is one"},
    {"share_gpu", FIELD_BOOL, "false", ANY, AT(share_gpu), FREE,
     "allow several ranks of a host to share a GPU, summing through the host; slow, for tests"},
    {"threads", FIELD_INT_OR_AUTO, "auto", FROM(1, 4096), AT(threads), FREE,
     "OpenMP threads per rank; auto is the rank's share of the cores, limited by the CPU time "
     "that control groups allow"},

    {"model.preset", FIELD_ENUM, "gpt2", ONE_OF(model_preset_names), AT(preset), FREE,
     "default sizes and layers, which explicit keys override; none requires all four sizes"},
    {"model.n_layer", FIELD_INT, NULL, FROM(1, 10000), AT(model.L), MUST,
     "transformer blocks"},
    {"model.n_head", FIELD_INT, NULL, FROM(1, 10000), AT(model.NH), MUST,
     "attention heads per block"},
    {"model.n_embd", FIELD_INT, NULL, FROM(1, 1000000), AT(model.C), MUST,
     "channels; a multiple of n_head, unless head_dim is set"},
    {"model.block_size", FIELD_INT, NULL, FROM(1, 16777216), AT(model.T), MUST,
     "context length, in tokens"},
    {"model.vocab_size", FIELD_INT_OR_AUTO, "auto", FROM(1, 16777216), AT(model.V), MUST,
     "tokens in the vocabulary; auto takes that of the data; a preset sets 50257"},
    {"model.n_kv_head", FIELD_INT_OR_AUTO, "auto", FROM(1, 10000), AT(model.NH_kv), MUST,
     "heads of keys and values, shared by equally many heads of queries; auto is n_head"},
    {"model.head_dim", FIELD_INT_OR_AUTO, "auto", FROM(1, 1000000), AT(model.HS), MUST,
     "channels per head; auto is n_embd / n_head"},
    {"model.bias", FIELD_BOOL, "true", ANY, AT(model.bias), MUST,
     "biases in linear layers and layer norms"},
    {"model.qkv_bias", FIELD_ENUM, "auto", ONE_OF(qkv_bias_names), AT(model.qkv_bias), MUST,
     "biases in the projection to q, k and v; auto is model.bias"},
    {"model.dropout", FIELD_FLOAT, "0", BELOW(0, 1), AT(model.dropout), MUST,
     "probability of dropping an activation"},
    {"model.norm", FIELD_ENUM, "layernorm", ONE_OF(norm_names), AT(model.norm), MUST,
     "normalization of the residual stream"},
    {"model.norm_weight", FIELD_BOOL, "true", ANY, AT(model.norm_weight), MUST,
     "weights in these norms"},
    {"model.norm_eps", FIELD_FLOAT, "1e-5", FROM(1e-12, 1), AT(model.norm_eps), MUST,
     "epsilon of all norms"},
    {"model.position", FIELD_ENUM, "learned", ONE_OF(position_names), AT(model.position), MUST,
     "positions: a learned embedding, rotations of q and k, or none"},
    {"model.rope.base", FIELD_FLOAT, "10000", FROM(1, 1e12), AT(model.rope.base), MUST,
     "base of the rotations' wavelengths"},
    {"model.rope.fraction", FIELD_FLOAT, "1", FROM(0, 1), AT(model.rope.fraction), MUST,
     "fraction of a head's channels that rotate"},
    {"model.rope.scaling", FIELD_ENUM, "none", ONE_OF(scaling_names), AT(model.rope.scaling), MUST,
     "extension of the context beyond rope.original_block_size"},
    {"model.rope.factor", FIELD_FLOAT, "1", FROM(1, 1e6), AT(model.rope.factor), MUST,
     "factor of the extension"},
    {"model.rope.original_block_size", FIELD_INT_OR_AUTO, "auto", FROM(1, 16777216),
     AT(model.rope.original_positions), MUST,
     "context length before the extension, for llama3 and yarn; auto is block_size"},
    {"model.rope.low_freq_factor", FIELD_FLOAT, "1", FROM(1e-6, 1e6),
     AT(model.rope.low_freq_factor), MUST,
     "llama3: wavelengths over the original context / this are extended"},
    {"model.rope.high_freq_factor", FIELD_FLOAT, "4", FROM(1e-6, 1e6),
     AT(model.rope.high_freq_factor), MUST,
     "llama3: wavelengths below the original context / this are not"},
    {"model.rope.beta_fast", FIELD_FLOAT, "32", FROM(1e-6, 1e6), AT(model.rope.beta_fast), MUST,
     "yarn: frequencies with more rotations in the original context are not extended"},
    {"model.rope.beta_slow", FIELD_FLOAT, "1", FROM(1e-6, 1e6), AT(model.rope.beta_slow), MUST,
     "yarn: frequencies with fewer rotations are extended"},
    {"model.rope.attention_factor", FIELD_FLOAT, "0", FROM(0, 1000),
     AT(model.rope.attention_factor), MUST,
     "yarn: factor of q and k; 0 is 0.1 ln(factor) + 1"},
    {"model.mlp", FIELD_ENUM, "gelu", ONE_OF(mlp_names), AT(model.mlp), MUST,
     "activation of the MLP; swiglu and geglu have a gate"},
    {"model.mlp_width", FIELD_INT_OR_AUTO, "auto", FROM(1, 10000000), AT(model.F), MUST,
     "hidden channels of the MLP; auto is 4 n_embd, with a gate the multiple of 64 from 8/3 n_embd"},
    {"model.block", FIELD_ENUM, "sequential", ONE_OF(block_names), AT(model.block), MUST,
     "whether the MLP reads the sum after attention, or the same norm as attention"},
    {"model.qk_norm", FIELD_BOOL, "false", ANY, AT(model.qk_norm), MUST,
     "RMS norm of each head of q and k"},
    {"model.qk_norm_weight", FIELD_BOOL, "true", ANY, AT(model.qk_norm_weight), MUST,
     "weights in these norms"},
    {"model.tie_embeddings", FIELD_BOOL, "true", ANY, AT(model.tie_embeddings), MUST,
     "the output layer is the token embedding"},
    {"model.logit_softcap", FIELD_FLOAT, "0", FROM(0, 1e6), AT(model.logit_softcap), MUST,
     "logits are cap tanh(logits / cap); 0 leaves them"},
    {"model.embedding_norm", FIELD_BOOL, "false", ANY, AT(model.embedding_norm), MUST,
     "RMS norm, without weights, of the embeddings"},
    {"model.embedding_std", FIELD_FLOAT, "0.02", FROM(0, 100), AT(model.embedding_std), MUST,
     "standard deviation of the initial token embedding"},
    {"model.linear_std", FIELD_FLOAT, "0.02", FROM(0, 100), AT(model.linear_std), MUST,
     "standard deviation of the initial linear layers; output projections divide it by "
     "sqrt(2 n_layer)"},
    {"model.value_embeddings", FIELD_PATTERN, "false", ONE_OF(bool_names),
     AT(model.value_embeddings), MUST,
     "layers that add an embedding of the token to v; a list repeats over the layers"},
    {"model.residual_scalars", FIELD_BOOL, "false", ANY, AT(model.residual_scalars), MUST,
     "learned factors of the residual and of the embeddings, added before each block"},
    {"model.short_conv.attention", FIELD_INT, "0", FROM(0, SHORT_CONV_MOST_TAPS),
     AT(model.short_conv[CONV_ATTENTION]), MUST,
     "taps, 2 to 4, of a causal convolution of each channel before the projection to q, k and v; 0 "
     "has none"},
    {"model.short_conv.qkv", FIELD_INT, "0", FROM(0, SHORT_CONV_MOST_TAPS),
     AT(model.short_conv[CONV_QKV]), MUST, "the same of q, k and v after the projection"},
    {"model.short_conv.mlp", FIELD_INT, "0", FROM(0, SHORT_CONV_MOST_TAPS),
     AT(model.short_conv[CONV_MLP]), MUST, "the same before the first product of the MLP"},
    {"model.zero_init", FIELD_BOOL, "false", ANY, AT(model.zero_init), MUST,
     "output projections and an untied output layer start at 0"},
    {"model.pad_vocab", FIELD_INT, "64", FROM(1, 65536), AT(pad_vocab), MUST,
     "pad the vocabulary to a multiple of this; 1 adds no padding"},

    {"attention.backends", FIELD_ENUM_LIST, "[flash, mem_efficient, math, baseline]",
     ONE_OF(attention_names), AT(attention.backends), MUST,
     "allowed implementations, in order of preference"},
    {"attention.pick", FIELD_ENUM, "order", ONE_OF(pick_names), AT(attention.pick), MUST,
     "select the first backend that accepts the call, the fastest measured one, or the one with "
     "the most predicted tokens per second"},
    {"attention.document_mask", FIELD_BOOL, "false", ANY, AT(attention.document_mask), MUST,
     "tokens attend only within their document, which ends with data.end_of_text; positions "
     "continue through the row"},

    {"attention.window", FIELD_WINDOW, "full", FROM(1, 16777216), AT(model.window), MUST,
     "a token attends to itself and the previous tokens, this many in all; a list such as [512, "
     "512, 512, full] repeats over the layers; a schedule such as [[0, 128], [50%, 512]] changes "
     "it during training, and evaluation uses the last"},
    {"attention.scale", FIELD_FLOAT, "0", FROM(0, 1000), AT(model.attention_scale), MUST,
     "factor of the scores; 0 is 1 / sqrt(head_dim)"},
    {"attention.softcap", FIELD_FLOAT, "0", FROM(0, 1e6), AT(model.attention_softcap), MUST,
     "scores are cap tanh(scores / cap); 0 leaves them; on a GPU for backend math alone"},

    {"data.train", FIELD_MIXTURE, NULL, ANY, AT(data.train), FREE,
     "token file for training, made by ./prepare, a pattern of shards such as train_*.h5, a list of "
     "these, or of {path: ..., weight: ...} to mix them; on resume, the same content at any path; "
     "required"},
    {"data.val", FIELD_PATHS, NULL, ANY, AT(data.val), FREE,
     "token file, pattern or list for evaluation, with the same rule; null disables evaluation"},
    {"data.end_of_text", FIELD_INT_OR_AUTO, "auto", FROM(1, 16777215), AT(data.end_of_text), MUST,
     "the token that ends a document; auto takes that of the data file"},
    {"data.batch_size", FIELD_INT_OR_AUTO, "auto", FROM(1, 1000000), AT(data.batch_size), BATCH,
     "sequences per rank and micro-step; auto is the largest that fits memory_budget"},
    {"memory_budget", FIELD_BUDGET, "90%", ANY, AT(memory_budget), FREE,
     "maximum memory of the plan on each rank's device"},

    {"training.dtype", FIELD_ENUM, "float32", ONE_OF(dtype_names), AT(training.dtype), MUST,
     "type of the activations; float16 and tf32 need a GPU, bfloat16 a GPU or a processor with "
     "AVX512_BF16 or AMX"},
    {"training.matmul", FIELD_ENUM, "bf16", ONE_OF(matmul_names), AT(training.matmul), MUST,
     "products of linear layers in training: bf16 computes them in training.dtype, fp8 in eight "
     "bits, on GPUs of compute capability 8.9 and emulated on the CPU"},
    {"training.fp8.products", FIELD_ENUM_LIST, "[forward, dx, dw]", ONE_OF(product_names),
     AT(training.fp8.products), MUST,
     "products that fp8 computes in eight bits: the output, the gradient of the input, that of the "
     "weight"},
    {"training.fp8.head", FIELD_BOOL, "true", ANY, AT(training.fp8.head), MUST,
     "fp8 includes the products of the logits"},
    {"training.fp8.gradient", FIELD_ENUM, "e5m2", ONE_OF(float8_names), AT(training.fp8.gradient),
     MUST, "format of the gradients of outputs; inputs and weights have e4m3"},
    {"training.fp8.scaling", FIELD_ENUM, "delayed", ONE_OF(float8_scaling_names),
     AT(training.fp8.scaling), MUST,
     "scale of a tensor, from its greatest elements in the last steps, or from its own, which "
     "takes another pass"},
    {"training.fp8.history", FIELD_INT, "16", FROM(1, 1024), AT(training.fp8.history), MUST,
     "steps that determine a delayed scale"},
    {"training.fp8.fast_accumulation", FIELD_ENUM, "forward", ONE_OF(fast_names),
     AT(training.fp8.fast_accumulation), MUST,
     "products whose sums may keep fewer bits than f32 on a GPU"},
    {"training.gradient_accumulation_steps", FIELD_INT, "1", FROM(1, 1000000),
     AT(training.gradient_accumulation_steps), BATCH,
     "micro-steps per step"},
    {"training.batch_schedule", FIELD_BATCH_SCHEDULE, NULL, FROM(1, MANY),
     AT(training.batch_schedule), MUST,
     "tokens per step, such as [[0, 131k], [30%, 262k]], by accumulation: rounded to multiples of "
     "ranks x batch_size x block_size"},
    {"training.stop.steps", FIELD_INT, NULL, FROM(1, MANY), AT(training.stop.steps), FREE,
     "stop after this many steps"},
    {"training.stop.tokens", FIELD_INT, NULL, FROM(1, MANY), AT(training.stop.tokens), FREE,
     "stop after this many tokens"},
    {"training.stop.time", FIELD_DURATION, NULL, FROM(0.001, 1e9), AT(training.stop.time), FREE,
     "stop after this much training time, over all resumes; the first rule to be met ends the "
     "run; one is required"},
    {"training.stop.early", FIELD_LENGTH, "100%", FROM(1, MANY), AT(training.stop.early), FREE,
     "end here already, in steps, tokens or percent of the run; the schedule stays that of the "
     "whole run, and a resume with a later end continues it"},
    {"training.recompute", FIELD_ENUM, "none", ONE_OF(recompute_names),
     AT(training.recompute), MUST,
     "activations that backward recomputes instead of keeping them"},
    {"training.shard_optimizer", FIELD_BOOL, "false", ANY, AT(training.shard_optimizer), FREE,
     "each rank keeps and updates only its shard of the optimizer state (ZeRO stage 1)"},

    {"optimizer.lr", FIELD_FLOAT, "6e-4", FROM(0, 1000), AT(optimizer.lr), MUST,
     "maximum learning rate"},
    {"optimizer.betas", FIELD_FLOAT_PAIR, "[0.9, 0.95]", BELOW(0, 1), AT(optimizer.betas), MUST,
     "AdamW's decay rates of the two moments"},
    {"optimizer.eps", FIELD_FLOAT, "1e-8", FROM(ADAMW_LEAST_EPS, 1), AT(optimizer.eps), MUST,
     "AdamW's epsilon; at least 1e-20"},
    {"optimizer.weight_decay", FIELD_FLOAT, "0.1", FROM(0, 1000), AT(optimizer.weight_decay), MUST,
     "weight decay of the matrices and tables that AdamW updates"},
    {"optimizer.grad_clip", FIELD_FLOAT, "1", FROM(0, 1e9), AT(optimizer.grad_clip), MUST,
     "clip the gradient to this norm; 0 disables clipping; Muon does not clip"},

    {"optimizer.matrices", FIELD_ENUM, "adamw", ONE_OF(matrices_names), AT(optimizer.matrices),
     MUST, "optimizer of the blocks' matrices; all other parameters have AdamW"},
    {"optimizer.muon.lr", FIELD_FLOAT, "0.02", FROM(0, 1000), AT(optimizer.muon.lr), MUST,
     "Muon's maximum learning rate; it follows the schedule of optimizer.lr"},
    {"optimizer.muon.momentum", FIELD_FLOAT, "0.95", BELOW(0, 1), AT(optimizer.muon.momentum), MUST,
     "Muon's momentum"},
    {"optimizer.muon.momentum_start", FIELD_FLOAT, "0.85", BELOW(0, 1),
     AT(optimizer.muon.momentum_start), MUST, "momentum in the first step"},
    {"optimizer.muon.momentum_warmup", FIELD_INT, "300", FROM(0, MANY),
     AT(optimizer.muon.momentum_warmup), MUST, "steps from momentum_start to momentum, linearly"},
    {"optimizer.muon.nesterov", FIELD_BOOL, "true", ANY, AT(optimizer.muon.nesterov), MUST,
     "Nesterov momentum"},
    {"optimizer.muon.iteration", FIELD_ENUM, "polar_express", ONE_OF(iteration_names),
     AT(optimizer.muon.iteration), MUST, "coefficients of the Newton-Schulz iteration"},
    {"optimizer.muon.normuon", FIELD_BOOL, "false", ANY, AT(optimizer.muon.normuon), MUST,
     "divide the rows of an update by their mean size over the steps (NorMuon)"},
    {"optimizer.muon.beta2", FIELD_FLOAT, "0.95", BELOW(0, 1), AT(optimizer.muon.beta2), MUST,
     "NorMuon's decay rate of these means"},
    {"optimizer.muon.weight_decay", FIELD_FLOAT, "0", FROM(0, 1000),
     AT(optimizer.muon.weight_decay), MUST, "weight decay of Muon's matrices"},
    {"optimizer.muon.cautious", FIELD_BOOL, "false", ANY, AT(optimizer.muon.cautious), MUST,
     "decay only the weights that the update makes smaller"},
    GROUP(embeddings, "the token and position embeddings and value embeddings"),
    GROUP(head, "the output layer, if it is not the token embedding"),
    GROUP(vectors, "biases, norms and other scalars; weight_decay auto is 0"),

    {"optimizer.groups", FIELD_MAPS, NULL, ANY, AT(optimizer.groups), MUST,
     "further groups of parameters, which come first: maps of match, a pattern of names such as "
     "h.*.mlp.*, and of optimizer, lr, betas, weight_decay; what is left out is as without the group, "
     "by the kind of each parameter"},
    {"optimizer.beta2_half_life", FIELD_INT, NULL, FROM(1, MANY), AT(optimizer.beta2_half_life),
     MUST, "tokens after which AdamW's second moment forgets half of a gradient; sets the second of "
     "optimizer.betas for any batch"},
    {"optimizer.lr_reference.batch_tokens", FIELD_INT, NULL, FROM(1, MANY),
     AT(optimizer.lr_reference.batch_tokens), MUST,
     "learning rates are for this many tokens a step; others multiply them by a power of the ratio, "
     "also during a batch_schedule"},
    {"optimizer.lr_reference.exponent", FIELD_FLOAT, "0.5", FROM(0, 2),
     AT(optimizer.lr_reference.exponent), MUST, "exponent of this power"},

    {"lr_scheduler.shape", FIELD_ENUM, "cosine", ONE_OF(shape_names), AT(lr_scheduler.shape), FREE,
     "course of the learning rate after the warm-up; wsd stays until the decay at the end"},
    {"lr_scheduler.warmup", FIELD_LENGTH, "2000", FROM(0, MANY), AT(lr_scheduler.warmup), FREE,
     "linear warm-up, in steps, tokens (10M tokens) or percent of the run"},
    {"lr_scheduler.decay", FIELD_LENGTH, "600000", FROM(1, MANY), AT(lr_scheduler.decay), FREE,
     "where the cosine or the line reaches min_lr: a step, tokens, or percent of the run; for wsd "
     "the length of the decay"},
    {"lr_scheduler.min_lr", FIELD_FLOAT, "6e-5", FROM(0, 1000), AT(lr_scheduler.min_lr), FREE,
     "final learning rate; at most optimizer.lr"},

    {"evaluation.interval", FIELD_INT, "250", FROM(0, MANY), AT(evaluation.interval), FREE,
     "steps between evaluations; 0: only at the end"},
    {"evaluation.at_start", FIELD_BOOL, "false", ANY, AT(evaluation.at_start), FREE,
     "also evaluate before the first step"},
    {"evaluation.tokens", FIELD_INT_OR_ALL, "1M", FROM(1, MANY), AT(evaluation.tokens), FREE,
     "tokens per evaluation, spread over data.val; independent of ranks and batch"},
    {"evaluation.sample", FIELD_INT, "0", FROM(0, 100000), AT(evaluation.sample), FREE,
     "tokens of text to generate at each evaluation, into samples.jsonl and the log; 0: none"},
    {"checkpoint.interval", FIELD_INTERVAL, "10m", ANY, AT(checkpoint.interval), FREE,
     "time or steps between checkpoints; 0: only at the end"},
    {"checkpoint.keep", FIELD_INT, "2", FROM(1, 1000000), AT(checkpoint.keep), FREE,
     "number of newest checkpoints to keep"},
    {"checkpoint.best", FIELD_BOOL, "true", ANY, AT(checkpoint.best), FREE,
     "also save at each evaluation that is the best so far, and keep that checkpoint"},
    {"checkpoint.sharded", FIELD_BOOL, "false", ANY, AT(checkpoint.sharded), FREE,
     "each rank writes its shard of a checkpoint, which is then a directory"},
    {"checkpoint.memory_interval", FIELD_INTERVAL, "0", ANY, AT(checkpoint.memory_interval), FREE,
     "time or steps between snapshots in the memory of hosts, from which a killed run resumes; 0: "
     "none"},
    {"logging.interval", FIELD_INT, "10", FROM(1, MANY), AT(logging.interval), FREE,
     "steps between log lines"},
    {"logging.tensorboard", FIELD_BOOL, "false", ANY, AT(logging.tensorboard), FREE,
     "also write event files for TensorBoard: scalars, the config, samples of text"},
    {"noise_scale.interval", FIELD_INT, "10", FROM(0, MANY), AT(noise_scale.interval), FREE,
     "steps between measurements of the gradient noise scale; 0: none"},
    {"autotune", FIELD_BOOL, "true", ANY, AT(autotune), FREE,
     "on a GPU, time the candidates of each matrix product once and use the fastest"},
    {"deadline", FIELD_DURATION, "7s", FROM(0.1, 1e6), AT(deadline), FREE,
     "maximum time that a collective waits for a rank without progress before the run ends"},
    {"output", FIELD_STRING, "runs/${name}", ANY, AT(output), FREE, "the run directory"},
    {"branch_from", FIELD_STRING, NULL, ANY, AT(branch_from), MUST,
     "a checkpoint of another run from which a new run goes on, maybe with other batches, learning "
     "rates, schedule and end; the model must be the same"},

    {"sweep", FIELD_SWEEP, NULL, ANY, AT(sweep), FREE,
     "runs to make from this config: a map of keys to lists is a grid, a list of maps gives the "
     "points"},
    {"report.metric", FIELD_STRING, "val/loss", ANY, AT(report.metric), FREE,
     "the column of metrics.jsonl that a study compares"},
    {"report.reduce", FIELD_ENUM, "best", ONE_OF(reduce_names), AT(report.reduce), FREE,
     "the value of a run: its lowest (of tok_per_s, tok_per_joule and mfu its highest), its last, or its mean"},
    {"report.x", FIELD_KEY, NULL, ANY, AT(report.x), FREE,
     "the key on a study's horizontal axis"},
    {"report.series", FIELD_KEY, NULL, ANY, AT(report.series), FREE,
     "the key that distinguishes a study's lines"},
    {"launch.retries", FIELD_INT, "2", FROM(0, 1000), AT(launch.retries), FREE,
     "how many times ./sweep restarts a failed point"},
    {"launch.local.ranks", FIELD_INT, "1", FROM(1, 100000), AT(launch.local.ranks), FREE,
     "ranks per point with ./sweep --local"},
    {"launch.local.parallel", FIELD_INT, "1", FROM(1, 1024), AT(launch.local.parallel), FREE,
     "points at a time with ./sweep --local, each with its share of the GPUs or cores"},
    {"launch.slurm.nodes", FIELD_INT, "1", FROM(1, 100000), AT(launch.slurm.nodes), FREE,
     "nodes per job"},
    {"launch.slurm.ranks_per_node", FIELD_INT, "1", FROM(1, 100000),
     AT(launch.slurm.ranks_per_node), FREE,
     "ranks per node; one per GPU"},
    {"launch.slurm.cpus_per_rank", FIELD_INT, "1", FROM(1, 100000),
     AT(launch.slurm.cpus_per_rank), FREE,
     "cores per rank"},
    {"launch.slurm.time", FIELD_DURATION, NULL, FROM(60, 1e9), AT(launch.slurm.time), FREE,
     "wall time per job"},
    {"launch.slurm.array_limit", FIELD_INT, "4", FROM(1, 100000),
     AT(launch.slurm.array_limit), FREE,
     "maximum number of a study's jobs that run at a time"},
    {"launch.slurm.requeue", FIELD_BOOL, "true", ANY, AT(launch.slurm.requeue), FREE,
     "requeue a job that stopped early with a good checkpoint"},
    {"launch.slurm.partition", FIELD_STRING, NULL, ANY, AT(launch.slurm.partition), FREE,
     "Slurm partition"},
    {"launch.slurm.account", FIELD_STRING, NULL, ANY, AT(launch.slurm.account), FREE,
     "Slurm account"},
    {"launch.slurm.options", FIELD_STRING_LIST, "[]", ANY, AT(launch.slurm.options), FREE,
     "further options of sbatch, such as --gres=gpu:8"},
    {"launch.slurm.setup", FIELD_SHELL_LINES, "[]", ANY, AT(launch.slurm.setup), FREE,
     "shell lines before mpirun, such as module loads"},
};
/* clang-format on */

const size_t schema_count = sizeof schema / sizeof schema[0];
