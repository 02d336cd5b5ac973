#include "data/tokenizer_json.h"

#include "data/json_node.h"
#include "data/nfc.h"
#include "data/word_vocabulary.h"

#include <string.h>

enum { MAX_TOKEN_ID = (1 << 22) - 1, MAX_DEPTH = 4 };

/* ---- added_tokens ---------------------------------------------------------------------------- */

static Status added_check(const JsonNode *token) {
    static const char *const known[] = {"id",     "content",    "single_word", "lstrip",
                                        "rstrip", "normalized", "special",     NULL};
    static const char *const off[] = {"single_word", "lstrip", "rstrip", NULL};
    JsonNode content = node_member(token, "content"), id = node_member(token, "id");
    TRY(node_all_known(token, known));
    TRY(node_all_off(token, off));
    if (!json_is_integer(id.value)) return node_refuse(&id, "must be an integer");
    if (!json_is_string(content.value) || json_string_length(content.value) == 0)
        return node_refuse(&content, "must be a text");
    return OK;
}

static Status added_read(const JsonNode *token, const JsonNode *vocab, BpeDefinition *out) {
    TRY(added_check(token));
    JsonNode content = node_member(token, "content");
    const char *text = json_string_value(content.value);
    json_int_t id = json_integer_value(json_object_get(token->value, "id"));
    const json_t *same = json_object_get(vocab->value, text);
    AddedToken added = {NULL, (int32_t)id, node_flag(token, "special", false), false};
    added.is_normalized = node_flag(token, "normalized", !added.is_special);
    if (same != NULL && json_integer_value(same) != id)
        return node_refuse(&content, "has another id in model.vocab");
    if (added.is_normalized && out->rules.has_nfc &&
        nfc_may_change((const uint8_t *)text, strlen(text)))
        return node_refuse(&content, "would have to be normalized, which is not supported");
    Status status = vocabulary_add_special(out->vocabulary, id, text);
    if (failed(status)) return status_prefixed(status, "%s", token->name);
    return bpe_definition_add(out, text, added);
}

static Status all_added_read(const JsonNode *file, const JsonNode *vocab, BpeDefinition *out) {
    JsonNode added = node_member(file, "added_tokens");
    for (size_t i = 0; i < json_array_size(added.value); i++) {
        JsonNode token = node_element(&added, i);
        TRY(added_read(&token, vocab, out));
    }
    return OK;
}

/* Whether a word of model.vocab is also an added token. */
static bool is_added(const JsonNode *file, const char *word) {
    size_t i;
    json_t *token;
    json_array_foreach(json_object_get(file->value, "added_tokens"), i, token) {
        const char *content = json_string_value(json_object_get(token, "content"));
        if (content != NULL && strcmp(content, word) == 0) return true;
    }
    return false;
}

/* ---- model ----------------------------------------------------------------------------------- */

/* unk_token and fuse_unk change nothing: every byte is a token, so none is unknown. */
static Status model_check(const JsonNode *model) {
    static const char *const known[] = {"type",
                                        "dropout",
                                        "unk_token",
                                        "continuing_subword_prefix",
                                        "end_of_word_suffix",
                                        "fuse_unk",
                                        "vocab",
                                        "merges",
                                        "byte_fallback",
                                        "ignore_merges",
                                        NULL};
    static const char *const off[] = {"dropout", "continuing_subword_prefix", "end_of_word_suffix",
                                      "byte_fallback", NULL};
    JsonNode type = node_member(model, "type"), vocab = node_member(model, "vocab"),
             merges = node_member(model, "merges");
    if (!json_is_object(model->value)) return node_refuse(model, "must be an object");
    if (!node_is_text(model, "type", "BPE", true))
        return node_refuse(&type, "only byte-level BPE is supported");
    TRY(node_all_known(model, known));
    TRY(node_all_off(model, off));
    if (!json_is_object(vocab.value))
        return node_refuse(&vocab, "must be an object of tokens and ids");
    return json_is_array(merges.value) ? OK : node_refuse(&merges, "must be an array");
}

/* The largest id, for the size of the vocabulary. */
static int64_t largest_id(const JsonNode *file, const JsonNode *vocab) {
    int64_t largest = 0;
    const char *word;
    size_t i;
    json_t *id, *token;
    json_object_foreach(vocab->value, word, id) {
        largest = json_integer_value(id) > largest ? json_integer_value(id) : largest;
    }
    json_array_foreach(json_object_get(file->value, "added_tokens"), i, token) {
        json_int_t added = json_integer_value(json_object_get(token, "id"));
        largest = added > largest ? added : largest;
    }
    return largest < MAX_TOKEN_ID ? largest : MAX_TOKEN_ID;
}

static Status vocab_read(const JsonNode *file, const JsonNode *vocab, Vocabulary *v) {
    const char *word;
    json_t *id;
    json_object_foreach(vocab->value, word, id) {
        if (!json_is_integer(id))
            return ERROR(STATUS_DATA, "%s: the id of '%.40s' is not an integer", vocab->name, word);
        Status status = word_add(v, word, json_integer_value(id));
        if (failed(status) && is_added(file, word))
            status = vocabulary_add_special(v, json_integer_value(id), word);
        if (failed(status)) return status_prefixed(status, "%s", vocab->name);
    }
    return OK;
}

static Status merge_read(const json_t *merge, Vocabulary *v, uint32_t rank) {
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    if (json_is_string(merge)) return word_merge_line_add(v, json_string_value(merge), rank);
    if (json_array_size(merge) == 2 && json_is_string(left) && json_is_string(right))
        return word_merge_add(v, json_string_value(left), json_string_length(left),
                              json_string_value(right), json_string_length(right), rank);
    return ERROR(STATUS_DATA, "must be \"a b\" or [\"a\", \"b\"]");
}

static Status merges_read(const JsonNode *merges, Vocabulary *v) {
    size_t i;
    json_t *merge;
    json_array_foreach(merges->value, i, merge) {
        Status status = merge_read(merge, v, (uint32_t)i);
        if (failed(status)) return status_prefixed(status, "%s[%zu]", merges->name, i);
    }
    return OK;
}

static Status model_read(const JsonNode *file, BpeDefinition *out) {
    JsonNode model = node_member(file, "model"), vocab = node_member(&model, "vocab"),
             merges = node_member(&model, "merges");
    TRY(model_check(&model));
    TRY(vocabulary_create(largest_id(file, &vocab) + 1, &out->vocabulary));
    TRY(vocab_read(file, &vocab, out->vocabulary));
    TRY(all_added_read(file, &vocab, out));
    Status status = bpe_definition_finish(out);
    if (failed(status)) return status_prefixed(status, "%s", vocab.name);
    if (node_flag(&model, "ignore_merges", false)) vocabulary_take_whole_pieces(out->vocabulary);
    out->hashes_merges = true;
    return merges_read(&merges, out->vocabulary);
}

/* ---- normalizer and pre_tokenizer ------------------------------------------------------------ */

static Status normalizer_read(const JsonNode *normalizer, int depth, BpeDefinition *out) {
    static const char *const known[] = {"type", "normalizers", NULL};
    JsonNode parts = node_member(normalizer, "normalizers"), type = node_member(normalizer, "type");
    if (normalizer->value == NULL || json_is_null(normalizer->value)) return OK;
    TRY(node_all_known(normalizer, known));
    if (node_is_text(normalizer, "type", "NFC", false)) {
        Status status = bpe_definition_normalize(out);
        return failed(status) ? status_prefixed(status, "%s", type.name) : OK;
    }
    if (!node_is_text(normalizer, "type", "Sequence", false) || depth == MAX_DEPTH)
        return node_refuse(&type, "only NFC is supported");
    for (size_t i = 0; i < json_array_size(parts.value); i++) {
        JsonNode part = node_element(&parts, i);
        TRY(normalizer_read(&part, depth + 1, out));
    }
    return OK;
}

static Status split_add(const JsonNode *field, const char *pattern, PatternDialect dialect,
                        PreTokenizerRules *rules) {
    if (rules->n_splits == MAX_SPLITS) return node_refuse(field, "too many steps");
    Status status = pattern_create(pattern, dialect, &rules->splits[rules->n_splits]);
    if (failed(status)) return status_prefixed(status, "%s", field->name);
    rules->n_splits++;
    return OK;
}

static Status split_read(const JsonNode *split, PreTokenizerRules *rules) {
    static const char *const known[] = {"type", "pattern", "behavior", "invert", NULL};
    static const char *const off[] = {"invert", NULL};
    JsonNode pattern = node_member(split, "pattern"), behavior = node_member(split, "behavior");
    const json_t *regex = json_object_get(pattern.value, "Regex"),
                 *string = json_object_get(pattern.value, "String");
    TRY(node_all_known(split, known));
    TRY(node_all_off(split, off));
    if (!node_is_text(split, "behavior", "Isolated", false))
        return node_refuse(&behavior, "only Isolated is supported");
    if (json_is_string(regex))
        return split_add(&pattern, json_string_value(regex), PATTERN_ONIGURUMA, rules);
    if (json_is_string(string))
        return split_add(&pattern, json_string_value(string), PATTERN_LITERAL, rules);
    return node_refuse(&pattern, "must have a Regex or a String");
}

static Status digits_read(const JsonNode *digits, PreTokenizerRules *rules) {
    static const char *const known[] = {"type", "individual_digits", NULL};
    TRY(node_all_known(digits, known));
    bool is_single = node_flag(digits, "individual_digits", false);
    return split_add(digits, is_single ? "\\p{N}" : "\\p{N}+", PATTERN_ONIGURUMA, rules);
}

static Status byte_level_read(const JsonNode *level, PreTokenizerRules *rules) {
    static const char *const known[] = {"type", "add_prefix_space", "trim_offsets", "use_regex",
                                        NULL};
    JsonNode prefix = node_member(level, "add_prefix_space");
    TRY(node_all_known(level, known));
    if (node_flag(level, "add_prefix_space", true))
        return node_refuse(&prefix, "true is not supported");
    if (!node_flag(level, "use_regex", true)) return OK;
    return split_add(level, encoding_gpt2->pattern, PATTERN_FANCY_REGEX, rules);
}

static Status pre_tokenizer_read(const JsonNode *step, int depth, bool *is_byte_level,
                                 PreTokenizerRules *rules) {
    static const char *const known[] = {"type", "pretokenizers", NULL};
    JsonNode parts = node_member(step, "pretokenizers"), type = node_member(step, "type");
    if (*is_byte_level) return node_refuse(step, "nothing is supported after ByteLevel");
    if (node_is_text(step, "type", "Split", false)) return split_read(step, rules);
    if (node_is_text(step, "type", "Digits", false)) return digits_read(step, rules);
    if (node_is_text(step, "type", "ByteLevel", false)) {
        *is_byte_level = true;
        return byte_level_read(step, rules);
    }
    if (!node_is_text(step, "type", "Sequence", false) || depth == MAX_DEPTH)
        return node_refuse(&type, "only ByteLevel, Split, Digits and Sequence are supported");
    TRY(node_all_known(step, known));
    for (size_t i = 0; i < json_array_size(parts.value); i++) {
        JsonNode part = node_element(&parts, i);
        TRY(pre_tokenizer_read(&part, depth + 1, is_byte_level, rules));
    }
    return OK;
}

static Status rules_read(const JsonNode *file, BpeDefinition *out) {
    JsonNode normalizer = node_member(file, "normalizer"),
             step = node_member(file, "pre_tokenizer");
    bool is_byte_level = false;
    TRY(normalizer_read(&normalizer, 0, out));
    if (json_is_object(step.value)) TRY(pre_tokenizer_read(&step, 0, &is_byte_level, &out->rules));
    return is_byte_level ? OK : node_refuse(&step, "must contain a ByteLevel");
}

static Status file_read(const JsonNode *file, BpeDefinition *out) {
    static const char *const known[] = {
        "version",       "truncation",     "padding", "added_tokens", "normalizer",
        "pre_tokenizer", "post_processor", "decoder", "model",        NULL};
    TRY(node_all_known(file, known));
    TRY(rules_read(file, out));
    return model_read(file, out);
}

Status tokenizer_json_read(const char *path, const char *text, size_t size, BpeDefinition *out) {
    json_error_t error;
    JsonNode file = {.value = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error)};
    if (file.value == NULL) return ERROR(STATUS_DATA, "%s:%d: %s", path, error.line, error.text);
    Status status = file_read(&file, out);
    json_decref(file.value);
    return failed(status) ? status_prefixed(status, "%s", path) : OK;
}
