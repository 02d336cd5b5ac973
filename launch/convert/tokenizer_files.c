#include "launch/convert/tokenizer_files.h"

#include "core/base/file.h"
#include "data/bpe_files.h"
#include "data/token_text.h"
#include "launch/convert/tokenizer_write.h"

#include <stdlib.h>
#include <string.h>

/* ---- the name -------------------------------------------------------------------------------- */

/* Other formats do not name the tokenizer, but few vocabularies have these sizes. */
const char *tokenizer_name_of(const ModelWeights *model) {
    int64_t V = model->config.V;
    if (model->tokenizer != NULL) return tokenizer_assumed(model->tokenizer, V);
    return V == 257 ? "byte" : tokenizer_assumed("", V);
}

static void note(const ModelReading *reading, const char *path, const char *what) {
    char text[512];
    snprintf(text, sizeof text, "%.200s: %s: %.250s", path, what, status_message());
    model_warn(reading, text);
}

/* Whether a vocabulary lies in the directory of `path`, and where. */
static Status beside_find(const char *path, BpeFiles *out, bool *is_there) {
    char *directory = file_beside(path, "");
    if (directory == NULL) return ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", path);
    size_t length = strlen(directory);
    if (length > 1) directory[length - 1] = '\0'; /* the slash */
    *is_there = !failed(bpe_files_find(length == 0 ? "." : directory, out));
    free(directory);
    return OK;
}

/* What cannot be used is another tokenizer than that which V would tell. */
static Status id_take(const char *path, const ModelReading *reading, ModelWeights *model) {
    Tokenizer *tokenizer = NULL;
    Status status = tokenizer_open(path, &tokenizer);
    if (!failed(status) && tokenizer_vocab_size(tokenizer) > model->config.V) {
        status = ERROR(STATUS_DATA, "it has %lld tokens, the model %lld",
                       (long long)tokenizer_vocab_size(tokenizer), (long long)model->config.V);
    }
    const char *name = failed(status) ? TOKENIZER_UNKNOWN : tokenizer_name(tokenizer);
    if (failed(status)) note(reading, path, "not used");
    if (!failed(status)) model->tokenizer_hash = tokenizer_hash(tokenizer);
    model->tokenizer = arena_strdup(&model->arena, name);
    tokenizer_destroy(&tokenizer);
    return model->tokenizer == NULL ? OUT_OF_MEMORY("%s", path) : OK;
}

Status tokenizer_files_read(const char *path, const ModelReading *reading, ModelWeights *model) {
    BpeFiles files;
    bool is_there;
    TRY(beside_find(path, &files, &is_there));
    return is_there ? id_take(files.tokens, reading, model) : OK;
}

static Status own_open(const ModelWeights *model, Tokenizer **out) {
    const char *name = tokenizer_name_of(model);
    TRY(tokenizer_open(name, out));
    if (model->tokenizer_hash == 0 || model->tokenizer_hash == tokenizer_hash(*out)) return OK;
    tokenizer_destroy(out);
    return ERROR(STATUS_DATA, "%s has changed since", name);
}

int64_t tokenizer_files_end_of_text(const ModelWeights *model) {
    const char *name = tokenizer_name_of(model);
    Tokenizer *tokenizer = NULL;
    int64_t end = strcmp(name, "byte") == 0 ? 256 : strcmp(name, "gpt2") == 0 ? 50256 : -1;
    if (end >= 0 || !tokenizer_is_named(name)) return end;
    if (!failed(own_open(model, &tokenizer))) end = tokenizer_end_of_text(tokenizer);
    tokenizer_destroy(&tokenizer);
    return end;
}

/* ---- the files ------------------------------------------------------------------------------- */

/* A tokenizer that is only assumed is no reason to refuse what the user put there. */
Status tokenizer_files_check(const ModelWeights *model, const char *path) {
    BpeFiles files;
    Tokenizer *there = NULL;
    bool is_there;
    if (model->tokenizer == NULL || !tokenizer_is_named(model->tokenizer)) return OK;
    TRY(beside_find(path, &files, &is_there));
    if (!is_there) return OK;
    Status status = tokenizer_open(files.tokens, &there);
    if (!failed(status)) {
        TokenizerId own = {model->tokenizer, model->tokenizer_hash},
                    other = {tokenizer_name(there), tokenizer_hash(there)};
        if (!tokenizers_share_tokens(own, other))
            status = ERROR(STATUS_DATA, "its tokens are not those of %s", own.name);
    }
    tokenizer_destroy(&there);
    if (!failed(status)) return OK;
    return status_prefixed(
        status, "%s: is there already, and not the model's, so write to a directory of its own",
        files.tokens);
}

static Status copy_new(const char *from, const char *path, const char *name,
                       CreatedFiles *created) {
    char *target = file_beside(path, name);
    bool is_taken = true;
    Status status = target == NULL ? ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", path)
                                   : file_exists(target, &is_taken);
    if (!failed(status) && !is_taken) status = created_copy(created, from, target);
    free(target);
    return status;
}

static Status copy_if_there(const char *from, const char *path, const char *name,
                            CreatedFiles *created) {
    char *source = file_beside(from, name);
    bool is_there = false;
    Status status = source == NULL ? ERROR(STATUS_OUT_OF_MEMORY, "%s: out of memory", path)
                                   : file_look(source, NULL, &is_there);
    if (!failed(status) && is_there) status = copy_new(source, path, name, created);
    free(source);
    return status;
}

/* What lies beside a tokenizer of Hugging Face's name belongs to it. */
static Status companions_copy(const char *tokens, const char *path, CreatedFiles *created) {
    static const char *const names[] = {"tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "chat_template.jinja",
                                        "tokenizer.model",
                                        "vocab.json",
                                        "merges.txt"};
    enum { OF_A_PAIR = 4 };
    const char *name = strrchr(tokens, '/');
    bool is_json = name != NULL && strcmp(name, "/tokenizer.json") == 0,
         is_pair = name != NULL && strcmp(name, "/vocab.json") == 0;
    size_t n = is_json ? sizeof names / sizeof *names : is_pair ? OF_A_PAIR : 0;
    for (size_t i = 0; i < n; i++) TRY(copy_if_there(tokens, path, names[i], created));
    return OK;
}

/* Whether Hugging Face's programs would read the same tokenizer. */
static Status form_check(const BpeFiles *files) {
    char begin[64] = "";
    ssize_t got;
    if (files->encoding != NULL)
        return ERROR(STATUS_UNSUPPORTED, "%s: its pattern, %s, is in no file", files->tokens,
                     files->encoding->name);
    TRY(file_read_beginning(files->tokens, begin, sizeof begin - 1, &got));
    if (begin[strspn(begin, " \t\r\n")] == '{') return OK;
    return ERROR(STATUS_UNSUPPORTED, "%s: is a rank file", files->tokens);
}

static Status files_copy(const char *name, const char *path, CreatedFiles *created) {
    BpeFiles files;
    TRY(bpe_files_find(name, &files));
    TRY(form_check(&files));
    bool is_pair = files.merges[0] != '\0';
    TRY(copy_new(files.tokens, path, is_pair ? "vocab.json" : "tokenizer.json", created));
    if (is_pair) TRY(copy_new(files.merges, path, "merges.txt", created));
    return companions_copy(files.tokens, path, created);
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

/* A tokenizer that is not on this machine, or of another form, is no reason to write no weights. */
Status tokenizer_files_write(const ModelWeights *model, const char *path, CreatedFiles *created) {
    const char *name = tokenizer_name_of(model);
    Tokenizer *tokenizer = NULL;
    if (!tokenizer_is_named(name)) return OK;
    bool is_made = strcmp(name, "byte") == 0 || strcmp(name, "gpt2") == 0;
    Status status = own_open(model, &tokenizer);
    bool is_lost = status.code == STATUS_DATA;
    if (!failed(status))
        status = is_made ? files_make(tokenizer, model->config.T, path, created)
                         : files_copy(name, path, created);
    tokenizer_destroy(&tokenizer);
    if (!is_lost && status.code != STATUS_UNSUPPORTED) return status;
    note(&(ModelReading){.program = "convert"}, path, "written without a tokenizer");
    return OK;
}
