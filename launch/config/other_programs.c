#include "launch/config/other_programs.h"

#include "launch/config/schema.h"

#include <stdio.h>
#include <string.h>

/* An `instead` that ends in = is the key that takes the value; NULL: nothing is to be set. Options
 * with the name of a key, such as --batch_size, are not listed. */
typedef struct Setting {
    const char *option, *instead;
} Setting;

static const Setting settings[] = {
    /* nanoGPT */
    {"--out_dir", "output="},
    {"--eval_interval", "evaluation.interval="},
    {"--eval_iters", "evaluation.tokens=N, in tokens"},
    {"--log_interval", "logging.interval="},
    {"--eval_only", "./evaluate RUN"},
    {"--always_save_checkpoint", "checkpoint.interval='N steps', or checkpoint.best=true"},
    {"--init_from", "--resume=none or --resume=auto; ./convert reads other weights"},
    {"--wandb_log", "examples/follow_wandb.py RUN"},
    {"--wandb_project", "examples/follow_wandb.py RUN"},
    {"--wandb_run_name", "examples/follow_wandb.py RUN"},
    {"--dataset", "data.train=FILE data.val=FILE, made by ./prepare"},
    {"--gradient_accumulation_steps", "training.gradient_accumulation_steps=N, of one rank"},
    {"--learning_rate", "optimizer.lr="},
    {"--max_iters", "training.stop.steps="},
    {"--beta1", "optimizer.betas=[BETA1, BETA2]"},
    {"--beta2", "optimizer.betas=[BETA1, BETA2]"},
    {"--decay_lr", "lr_scheduler.shape=cosine or constant"},
    {"--warmup_iters", "lr_scheduler.warmup="},
    {"--lr_decay_iters", "lr_scheduler.decay="},
    {"--backend", NULL},
    {"--compile", NULL},
    /* llm.c */
    {"-i", "data.train="},
    {"-j", "data.val="},
    {"-o", "output="},
    {"-e", "model.preset=NAME; ./convert reads weights"},
    {"-b", "data.batch_size="},
    {"-t", "model.block_size="},
    {"-d", "training.batch_schedule=[[0, TOKENS]]"},
    {"-x", "training.stop.steps="},
    {"-k", "lr_scheduler.shape="},
    {"-l", "optimizer.lr="},
    {"-u", "lr_scheduler.warmup="},
    {"-q", "lr_scheduler.min_lr=LR lr_scheduler.decay=100%; LR is no fraction"},
    {"-c", "optimizer.weight_decay="},
    {"-v", "evaluation.interval="},
    {"-m", "evaluation.tokens=N, in tokens"},
    {"-s", "./generate RUN"},
    {"-g", "./generate RUN"},
    {"-n", "checkpoint.interval='N steps'"},
    {"-nk", "checkpoint.keep="},
    {"-y", "--resume=auto or --resume=none"},
    {"-f", "training.dtype=bfloat16 or tf32"},
    {"-z", "training.shard_optimizer=true or false"},
    {"-r", "training.recompute=none, gelu or block"},
    /* Hugging Face: TrainingArguments and run_clm.py */
    {"--output_dir", "output="},
    {"--model_name_or_path", "./convert DIRECTORY RUN"},
    {"--config_name", "model.preset="},
    {"--tokenizer_name", "./prepare --tokenizer=FILE"},
    {"--dataset_name", "data.train=FILE data.val=FILE, made by ./prepare"},
    {"--train_file", "data.train=FILE, made by ./prepare"},
    {"--validation_file", "data.val=FILE, made by ./prepare"},
    {"--per_device_train_batch_size", "data.batch_size="},
    {"--per_device_eval_batch_size", "data.batch_size=N, of training and evaluation"},
    {"--max_steps", "training.stop.steps="},
    {"--num_train_epochs", "training.stop.tokens=N, in tokens"},
    {"--adam_beta1", "optimizer.betas=[BETA1, BETA2]"},
    {"--adam_beta2", "optimizer.betas=[BETA1, BETA2]"},
    {"--adam_epsilon", "optimizer.eps="},
    {"--max_grad_norm", "optimizer.grad_clip="},
    {"--lr_scheduler_type", "lr_scheduler.shape="},
    {"--warmup_steps", "lr_scheduler.warmup="},
    {"--warmup_ratio", "lr_scheduler.warmup=N%"},
    {"--eval_steps", "evaluation.interval="},
    {"--logging_steps", "logging.interval="},
    {"--save_steps", "checkpoint.interval='N steps'"},
    {"--save_total_limit", "checkpoint.keep="},
    {"--load_best_model_at_end", "checkpoint.best="},
    {"--resume_from_checkpoint", "--resume=PATH"},
    {"--report_to", "logging.tensorboard=true or examples/follow_wandb.py RUN"},
    {"--bf16", "training.dtype=bfloat16"},
    {"--fp16", "training.dtype=float16"},
    {"--tf32", "training.dtype=tf32"},
    {"--use_cpu", "device=cpu"},
    {"--gradient_checkpointing", "training.recompute=block"},
    {"--fsdp", "training.shard_optimizer=true"},
    {"--deepspeed", "training.shard_optimizer=true"},
    {"--attn_implementation", "attention.backends=[flash]"},
};

static const Setting *find_setting(const char *option) {
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (strcmp(settings[i].option, option) == 0) return &settings[i];
    }
    return NULL;
}

static bool takes_value(const Setting *setting) {
    return setting->instead != NULL && setting->instead[strlen(setting->instead) - 1] == '=';
}

/* A key by its whole name or by its last part. Several keys may have the same last part: the first
 * in the schema's order wins. */
static bool key_named(const char *name, char *out, size_t bytes) {
    for (size_t i = 0; i < schema_count; i++) {
        const char *path = schema[i].path, *last = strrchr(path, '.');
        if (strcmp(path, name) != 0 && (last == NULL || strcmp(last + 1, name) != 0)) continue;
        snprintf(out, bytes, "%s", path);
        return true;
    }
    return false;
}

/* Short options are ambiguous: -v of another program may mean more output. */
static void write_advice(const Setting *setting, bool is_short, const char *value, char *out,
                         size_t bytes) {
    if (setting->instead == NULL) {
        snprintf(out, bytes, "leave it out: it is chosen for the machine");
        return;
    }
    snprintf(out, bytes, "%s %s%s", is_short ? "see --help, or for llm.c's use" : "use",
             setting->instead, takes_value(setting) ? value : "");
}

bool option_translate(const char *argument, char *out, size_t bytes) {
    char option[64], key[64];
    size_t dashes = strspn(argument, "-"), length = strcspn(argument, "=");
    if (dashes > 2 || dashes == length || length >= sizeof option) return false;
    snprintf(option, sizeof option, "%.*s", (int)length, argument);
    for (char *c = option + dashes; *c != '\0'; c++) {
        if (*c == '-') *c = '_';
    }
    const char *value = argument[length] == '=' ? argument + length + 1 : "VALUE";
    const Setting *setting = find_setting(option);
    if (setting != NULL) {
        write_advice(setting, dashes == 1, value, out, bytes);
        return true;
    }
    if (dashes != 2 || !key_named(option + dashes, key, sizeof key)) return false;
    snprintf(out, bytes, "use %s=%s", key, value);
    return true;
}

bool key_translate(const char *path, char *out, size_t bytes) {
    char option[64];
    const char *dot = strrchr(path, '.'), *name = dot == NULL ? path : dot + 1;
    if (snprintf(option, sizeof option, "--%s", name) >= (int)sizeof option) return false;
    const Setting *setting = find_setting(option);
    if (setting == NULL || !takes_value(setting)) return false;
    snprintf(out, bytes, "%.*s", (int)strlen(setting->instead) - 1, setting->instead);
    return true;
}
