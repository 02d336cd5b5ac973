#include "launch/convert/tokenizer_files.h"

#include "core/base/file.h"
#include "data/tokenizer.h"
#include "launch/convert/tokenizer_write.h"
#include "launch/run/state.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- the name -------------------------------------------------------------------------------- */

/* Other formats do not name the tokenizer, but few vocabularies have these sizes. GPT-2's is often
 * padded to 50304. */
const char *tokenizer_name_of(const ModelWeights *model) {
    int64_t V = model->config.V;
    if (model->tokenizer != NULL) return model->tokenizer;
    return V == 257 ? "byte" : V == 50257 || V == 50304 ? "gpt2" : TOKENIZER_UNKNOWN;
}

static void note(const ModelReading *reading, const char *path, const char *what) {
    char text[512];
    snprintf(text, sizeof text, "%.200s: %s: %.250s", path, what, status_message());
    model_warn(reading, text);
}

static Status id_take(const char *path, const ModelReading *reading, ModelWeights *model) {
    Tokenizer *tokenizer = NULL;
    char whole[PATH_MAX];
    if (realpath(path, whole) == NULL) return OK;
    Status status = tokenizer_open(whole, &tokenizer);
    if (!failed(status) && tokenizer_vocab_size(tokenizer) > model->config.V) {
        status = ERROR(STATUS_DATA, "it has %lld tokens, the model %lld",
                       (long long)tokenizer_vocab_size(tokenizer), (long long)model->config.V);
    }
    if (failed(status)) {
        note(reading, path, "not used");
    } else {
        model->tokenizer = arena_strdup(&model->arena, tokenizer_name(tokenizer));
        model->tokenizer_hash = tokenizer_hash(tokenizer);
    }
    tokenizer_destroy(&tokenizer);
    return OK;
}

Status tokenizer_files_read(const char *path, const ModelReading *reading, ModelWeights *model) {
    bool is_there;
    char *file = file_beside(path, "tokenizer.json");
    if (file == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", path);
    Status status = file_look(file, NULL, &is_there);
    if (!failed(status) && is_there) status = id_take(file, reading, model);
    free(file);
    return status;
}

int64_t tokenizer_files_end_of_text(const ModelWeights *model) {
    const char *name = tokenizer_name_of(model);
    Tokenizer *tokenizer = NULL;
    int64_t end = strcmp(name, "byte") == 0 ? 256 : strcmp(name, "gpt2") == 0 ? 50256 : -1;
    if (end >= 0 || strcmp(name, TOKENIZER_UNKNOWN) == 0) return end;
    if (!failed(tokenizer_open(name, &tokenizer))) end = tokenizer_end_of_text(tokenizer);
    tokenizer_destroy(&tokenizer);
    return end;
}

/* ---- the files ------------------------------------------------------------------------------- */

static Status copy_if_there(const char *from, const char *path, const char *name,
                            CreatedFiles *created) {
    char *source = file_beside(from, name), *target = file_beside(path, name);
    bool is_there = false, is_taken = true;
    Status status = source == NULL || target == NULL
                        ? ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", path)
                        : file_look(source, NULL, &is_there);
    if (!failed(status) && is_there) status = file_exists(target, &is_taken);
    if (!failed(status) && is_there && !is_taken) status = created_copy(created, source, target);
    free(source);
    free(target);
    return status;
}

/* The files that the tokenizer came with. */
static Status files_copy(const char *from, const char *path, CreatedFiles *created) {
    static const char *const names[] = {
        "tokenizer.json", "tokenizer_config.json", "vocab.json",      "special_tokens_map.json",
        "merges.txt",     "added_tokens.json",     "tokenizer.model", "chat_template.jinja"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        TRY(copy_if_there(from, path, names[i], created));
    return OK;
}

static Status json_write_new(const char *path, const char *name, json_t *value,
                             CreatedFiles *created) {
    char *target = file_beside(path, name);
    bool is_taken = true;
    Status status = target == NULL ? ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", path)
                                   : file_exists(target, &is_taken);
    if (!failed(status) && !is_taken)
        status = created_json(created, target, value);
    else
        json_decref(value);
    free(target);
    return status;
}

static Status files_make(const Tokenizer *tokenizer, int64_t T, const char *path,
                         CreatedFiles *created) {
    json_t *file;
    TRY(tokenizer_json_make(tokenizer, &file));
    TRY(json_write_new(path, "tokenizer.json", file, created));
    json_t *config =
        json_pack("{s:s, s:s, s:s, s:I}", "tokenizer_class", "PreTrainedTokenizerFast", "bos_token",
                  "<|endoftext|>", "eos_token", "<|endoftext|>", "model_max_length", (json_int_t)T);
    return json_write_new(path, "tokenizer_config.json", config, created);
}

/* A vocabulary that is not on this machine is no reason to write no weights. */
static Status known_write(const char *name, int64_t T, const char *path, CreatedFiles *created) {
    Tokenizer *tokenizer = NULL;
    Status status = tokenizer_open(name, &tokenizer);
    if (!failed(status)) status = files_make(tokenizer, T, path, created);
    tokenizer_destroy(&tokenizer);
    if (status.code != STATUS_DATA && status.code != STATUS_UNSUPPORTED) return status;
    note(&(ModelReading){.program = "convert"}, path, "written without a tokenizer");
    return OK;
}

Status tokenizer_files_write(const ModelWeights *model, const char *path, CreatedFiles *created) {
    const char *name = tokenizer_name_of(model);
    if (strcmp(name, TOKENIZER_UNKNOWN) == 0) return OK;
    if (strcmp(name, "byte") == 0 || strcmp(name, "gpt2") == 0)
        return known_write(name, model->config.T, path, created);
    return files_copy(name, path, created);
}
