#include "launch/convert/config_json.h"

#include "core/base/escape.h"
#include "launch/base/text_file.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Fields that change what a model computes. A family without such a field refuses its use. */
static const char *const foreign[] = {"quantization*",
                                      "attention_bias",
                                      "mlp_bias",
                                      "qkv_bias",
                                      "head_dim",
                                      "num_key_value_heads",
                                      "original_max_position_embeddings",
                                      "compression_config",
                                      "alibi*",
                                      "attention_head_type",
                                      "attention_layers",
                                      "attention_multiplier",
                                      "attention_types",
                                      "attn_logit_softcapping",
                                      "embedding_multiplier",
                                      "final_logit_softcapping",
                                      "layer_types",
                                      "logit_scale",
                                      "logits_scaling",
                                      "moe*",
                                      "multi_query",
                                      "mup*",
                                      "num_experts*",
                                      "num_local_experts",
                                      "parallel_attn",
                                      "partial_rotary_factor",
                                      "qk_layernorm",
                                      "qk_norm",
                                      "query_pre_attn_scalar",
                                      "residual_multiplier",
                                      "rms_norm_eps",
                                      "rope*",
                                      "rotary*",
                                      "sliding_window*",
                                      "use_alibi",
                                      "use_mrope",
                                      "use_parallel_residual",
                                      "use_qk_norm",
                                      "use_sliding_window",
                                      "window_size"};

/* Fields of training, generation, outputs and metadata. */
static const char *const harmless[] = {"_*",
                                       "attn_implementation",
                                       "attention_dropout",
                                       "max_window_layers",
                                       "pretraining_tp",
                                       "attn_pdrop",
                                       "bad_words_ids",
                                       "begin_suppress_tokens",
                                       "bos_token_id",
                                       "chunk_size_feed_forward",
                                       "cross_attention_hidden_size",
                                       "decoder_start_token_id",
                                       "diversity_penalty",
                                       "do_sample",
                                       "dtype",
                                       "early_stopping",
                                       "embd_pdrop",
                                       "encoder_no_repeat_ngram_size",
                                       "eos_token_id",
                                       "exponential_decay_length_penalty",
                                       "finetuning_task",
                                       "forced_bos_token_id",
                                       "forced_eos_token_id",
                                       "gradient_checkpointing",
                                       "id2label",
                                       "initializer_range",
                                       "label2id",
                                       "length_penalty",
                                       "max_length",
                                       "min_length",
                                       "no_repeat_ngram_size",
                                       "num_beam_groups",
                                       "num_beams",
                                       "num_labels",
                                       "num_return_sequences",
                                       "output_*",
                                       "pad_token_id",
                                       "prefix",
                                       "problem_type",
                                       "remove_invalid_values",
                                       "repetition_penalty",
                                       "resid_pdrop",
                                       "return_dict*",
                                       "sep_token_id",
                                       "summary_*",
                                       "suppress_tokens",
                                       "task_specific_params",
                                       "temperature",
                                       "tf_legacy_loss",
                                       "tie_encoder_decoder",
                                       "tokenizer_class",
                                       "top_k",
                                       "top_p",
                                       "torch_dtype",
                                       "torchscript",
                                       "transformers_version",
                                       "typical_p",
                                       "use_bfloat16",
                                       "use_cache"};

/* A * at the end of a name matches all names with this prefix. */
static bool is_among(const char *name, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(names[i]) - 1;
        bool is_open = names[i][length] == '*';
        if (is_open ? strncmp(names[i], name, length) == 0 : strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* A config without a model_type is GPT-2's. */
static Status architecture_take(const json_t *config, const Architecture **out) {
    const json_t *type = json_object_get(config, "model_type");
    if (!json_is_object(config)) return ERROR(STATUS_DATA, "is no JSON object");
    const char *name = type == NULL ? "gpt2" : json_string_value(type);
    *out = name == NULL ? NULL : architecture_find(name);
    if (*out != NULL) return OK;
    return json_field_error("model_type", type,
                            "expected was gpt2, llama, mistral, qwen2 or qwen3");
}

Status config_json_read(const char *path, json_t **out, const Architecture **architecture) {
    TRY(text_file_read_json(path, out));
    if (*out == NULL) return OK;
    Status status = architecture_take(*out, architecture);
    if (!failed(status)) return OK;
    json_decref(*out);
    *out = NULL;
    return status_prefixed(status, "%s", path);
}

static Status foreign_check(const Architecture *architecture, const json_t *config) {
    const char *name;
    char wanted[80];
    json_t *value;
    snprintf(wanted, sizeof wanted, "%s has nothing of that kind", architecture->family->title);
    json_object_foreach((json_t *)config, name, value) {
        bool is_own = architecture_field(architecture, name) != NULL;
        if (!is_own && is_among(name, foreign, COUNT(foreign)) && !json_is_unset(value))
            return json_field_error(name, value, wanted);
    }
    return OK;
}

Status config_json_model(const char *path, const json_t *config, const Architecture *architecture,
                         ModelConfig *model) {
    Status status = foreign_check(architecture, config);
    if (!failed(status)) status = architecture_read(architecture, config, model);
    return failed(status) ? status_prefixed(status, "%s", path) : OK;
}

bool config_json_unknown(const json_t *config, const Architecture *architecture, char *out,
                         size_t capacity) {
    const char *name;
    char shown[64];
    size_t used = 0;
    json_t *value;
    json_object_foreach((json_t *)config, name, value) {
        bool is_known = architecture_field(architecture, name) != NULL ||
                        is_among(name, foreign, COUNT(foreign)) ||
                        is_among(name, harmless, COUNT(harmless));
        if (is_known || used >= capacity) continue;
        escape_text(name, shown, sizeof shown);
        used += (size_t)snprintf(out + used, capacity - used, "%s%s", used > 0 ? ", " : "", shown);
    }
    return used > 0;
}
