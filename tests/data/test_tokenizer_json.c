/* tokenizer.json for the small vocabulary: what is read, and what is refused by its field. */
#include "data/nfc.h"
#include "tests/data/data_helper.h"
#include "tests/data/small_vocabulary_helper.h"
#include "tests/harness.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BYTE_LEVEL "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": %s}"
#define ADDED "\"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false"

static void merges_print(FILE *file, bool are_pairs) {
    for (size_t i = 0; i < 5; i++) {
        fputs(i == 0 ? "" : ", ", file);
        fputs(are_pairs ? "[\"" : "\"", file);
        small_word_print(file, small_merges[i][0]);
        fputs(are_pairs ? "\", \"" : " ", file);
        small_word_print(file, small_merges[i][1]);
        fputs(are_pairs ? "\"]" : "\"", file);
    }
}

/* A file with GPT-2's pattern, where two members can be replaced. */
static const char *json_write(bool are_pairs) {
    const char *path = path_in(harness_directory(), "tokenizer.json");
    FILE *file = fopen(path, "w");
    fputs("{\"version\": \"1.0\", \"truncation\": null, \"added_tokens\": ["
          "{\"id\": 261, \"content\": \"<|endoftext|>\", \"special\": true, " ADDED "}, "
          "{\"id\": 263, \"content\": \"<think>\", \"special\": false, " ADDED "}], "
          "\"normalizer\": null, \"pre_tokenizer\": ",
          file);
    fprintf(file, BYTE_LEVEL, "true");
    fputs(", \"post_processor\": {\"type\": \"TemplateProcessing\"}, \"model\": {"
          "\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, \"ignore_merges\": false, "
          "\"vocab\": {",
          file);
    small_words_print(file);
    fputs("}, \"merges\": [", file);
    merges_print(file, are_pairs);
    fputs("]}}", file);
    fclose(file);
    return path;
}

static void check_tokens(Tokenizer *t, const char *text, size_t n, const int32_t *wanted) {
    TokenBuffer tokens = {0};
    CHECK_OK(tokenizer_encode(t, text, strlen(text), &tokens));
    bool is_same = tokens.count == n && memcmp(tokens.tokens, wanted, n * sizeof *wanted) == 0;
    if (!is_same) printf("\n    differs: %s\n", text);
    CHECK(is_same);
    token_buffer_free(&tokens);
}

#define TOKENS(...)                                                                                \
    COUNT(((int32_t[]){__VA_ARGS__})), (int32_t[]) { __VA_ARGS__ }

static void both_spellings_of_merges_are_read(void) {
    uint64_t hashes[2];
    for (int are_pairs = 0; are_pairs < 2; are_pairs++) {
        Tokenizer *t;
        REQUIRE_OK(tokenizer_open(json_write(are_pairs == 1), &t));
        CHECK(tokenizer_vocab_size(t) == 264 && tokenizer_end_of_text(t) == 261);
        check_tokens(t, " themeting the", TOKENS(260, 'm', 'e', 't', 259, 260));
        hashes[are_pairs] = tokenizer_hash(t);
        tokenizer_destroy(&t);
    }
    CHECK(hashes[0] == hashes[1]);
}

static void special_tokens_are_read_on_request(void) {
    const uint8_t *bytes;
    size_t length;
    Tokenizer *t;
    REQUIRE_OK(tokenizer_open(json_write(false), &t));
    check_tokens(t, "<think>in", TOKENS(263, 258));
    check_tokens(t, "<|end", TOKENS('<', '|', 'e', 'n', 'd'));
    check_tokens(t, "<|endoftext|>",
                 TOKENS('<', '|', 'e', 'n', 'd', 'o', 'f', 't', 'e', 'x', 't', '|', '>'));
    REQUIRE_OK(tokenizer_read_special(t));
    check_tokens(t, "in<|endoftext|><think>", TOKENS(258, 261, 263));
    CHECK_OK(tokenizer_decode(t, 262, &bytes, &length));
    CHECK(length == 0); /* an unused id */
    CHECK_OK(tokenizer_decode(t, 263, &bytes, &length));
    CHECK(length == 7 && memcmp(bytes, "<think>", 7) == 0);
    tokenizer_destroy(&t);
    REQUIRE_OK(tokenizer_open("byte", &t));
    CHECK_ERROR(tokenizer_read_special(t), STATUS_USAGE, "'byte' reads no special tokens");
    tokenizer_destroy(&t);
}

/* The path of a file with one member changed. `field`: the way to it, with `/` between the
 * names. */
static const char *changed(const char *field, const char *value) {
    const char *path = json_write(false);
    char way[96], *name = way;
    json_t *file = json_load_file(path, 0, NULL), *node = file;
    snprintf(way, sizeof way, "%s", field);
    for (char *slash; (slash = strchr(name, '/')) != NULL; name = slash + 1) {
        *slash = '\0';
        bool is_index = json_is_array(node);
        node = is_index ? json_array_get(node, (size_t)atoi(name)) : json_object_get(node, name);
    }
    json_object_set_new(node, name, json_loads(value, JSON_DECODE_ANY, NULL));
    json_dump_file(file, path, 0);
    json_decref(file);
    return path;
}

static uint64_t changed_hash(const char *field, const char *value) {
    Tokenizer *t;
    if (failed(tokenizer_open(changed(field, value), &t))) {
        printf("\n    %s\n", status_message());
        return 0;
    }
    uint64_t hash = tokenizer_hash(t);
    tokenizer_destroy(&t);
    return hash;
}

/* Everything that changes the tokens changes the hash. */
static void the_hash_has_every_rule(void) {
    const uint64_t hashes[] = {
        changed_hash("version", "\"1.0\""),
        changed_hash("model/ignore_merges", "true"),
        changed_hash("model/merges", "[\"t h\", \"i n\"]"),
        changed_hash("model/merges", "[\"i n\", \"t h\"]"),
        changed_hash("added_tokens/1/special", "true"),
        changed_hash("added_tokens/1/content", "\"<x>\""),
        changed_hash("pre_tokenizer/use_regex", "false"),
        changed_hash("pre_tokenizer",
                     "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\"},"
                     "{\"type\": \"ByteLevel\", \"add_prefix_space\": false}]}"),
        nfc_is_available() ? changed_hash("normalizer", "{\"type\": \"NFC\"}") : 1,
    };
    for (size_t i = 0; i < COUNT(hashes); i++) {
        CHECK(hashes[i] != 0);
        for (size_t j = 0; j < i; j++) CHECK(hashes[i] != hashes[j]);
    }
    CHECK(changed_hash("post_processor", "null") == hashes[0]);
}

/* A change of a file, and what its refusal says. */
static const struct {
    const char *field, *value, *message;
} refusals[] = {
    {"model/type", "\"Unigram\"", "model.type: only byte-level BPE"},
    {"model/type", "\"WordPiece\"", "model.type: only byte-level BPE"},
    {"model/dropout", "0.1", "model.dropout: is not supported"},
    {"model/byte_fallback", "true", "model.byte_fallback: is not supported"},
    {"model/end_of_word_suffix", "\"</w>\"", "model.end_of_word_suffix: is not supported"},
    {"model/continuing_subword_prefix", "\"##\"", "model.continuing_subword_prefix: is not"},
    {"model/novelty", "1", "model.novelty: is not a known field"},
    {"model/vocab", "[]", "model.vocab: must be an object"},
    {"model/vocab", "{\"a\": 0}", "model.vocab: no token for the byte 0x00"},
    {"model/vocab/\xe2\x82\xac", "300", "model.vocab: '\xe2\x82\xac' is not a token"},
    {"model/vocab/th", "-1", "model.vocab: token id -1 is out of range"},
    {"model/vocab/th", "\"x\"", "model.vocab: the id of 'th' is not an integer"},
    {"model/vocab/th", "257", "model.vocab: token id 257 occurs twice"},
    {"model/vocab/th", "99999999", "model.vocab: token id 99999999 is out of range"},
    {"model/merges", "{}", "model.merges: must be an array"},
    {"model/merges", "[\"t h\", 1]", "model.merges[1]: must be"},
    {"model/merges", "[\"th\"]", "model.merges[0]: a merge must be two tokens"},
    {"model/merges", "[\"x y\"]", "model.merges[0]: the two tokens or their concatenation"},
    {"model/merges", "[\"t h\", [\"t\", \"h\"]]", "model.merges[1]: this pair of tokens"},
    {"novelty", "{}", "novelty: is not a known field"},
    {"model", "[]", "model: must be an object"},
    {"normalizer", "{\"type\": \"Lowercase\"}", "normalizer.type: only NFC"},
    {"normalizer", "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFKC\"}]}",
     "normalizer.normalizers[0].type: only NFC"},
    {"pre_tokenizer", "null", "pre_tokenizer: must contain a ByteLevel"},
    {"pre_tokenizer", "{\"type\": \"Metaspace\"}", "pre_tokenizer.type: only ByteLevel"},
    {"pre_tokenizer/add_prefix_space", "true", "pre_tokenizer.add_prefix_space: true is not"},
    {"pre_tokenizer/novelty", "1", "pre_tokenizer.novelty: is not a known field"},
    {"pre_tokenizer",
     "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\"}, \"behavior\": \"Removed\"}",
     "pre_tokenizer.behavior: only Isolated"},
    {"pre_tokenizer",
     "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\"}, \"behavior\": \"Isolated\", "
     "\"invert\": true}",
     "pre_tokenizer.invert: is not supported"},
    {"pre_tokenizer",
     "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\w+\"}, \"behavior\": \"Isolated\"}",
     "pre_tokenizer.pattern: '\\w+' at byte 0 of the pattern"},
    {"pre_tokenizer", "{\"type\": \"Split\", \"pattern\": {}, \"behavior\": \"Isolated\"}",
     "pre_tokenizer.pattern: must have a Regex or a String"},
    {"pre_tokenizer",
     "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\", "
     "\"add_prefix_space\": false}, {\"type\": \"Digits\"}]}",
     "pre_tokenizer.pretokenizers[1]: nothing is supported after ByteLevel"},
    {"added_tokens/1/lstrip", "true", "added_tokens[1].lstrip: is not supported"},
    {"added_tokens/1/single_word", "true", "added_tokens[1].single_word: is not supported"},
    {"added_tokens/1/content", "\"\"", "added_tokens[1].content: must be a text"},
    {"added_tokens/1/id", "\"x\"", "added_tokens[1].id: must be an integer"},
    {"added_tokens/1/id", "-5", "added_tokens[1]: token id -5 is out of range"},
    {"added_tokens/1/id", "3", "added_tokens[1]: token id 3 occurs twice"},
    {"added_tokens/0/id", "262", "added_tokens[0].content: has another id in model.vocab"},
};

static void what_changes_tokens_is_refused_by_its_field(void) {
    for (size_t i = 0; i < COUNT(refusals); i++) {
        Tokenizer *t;
        const char *path = changed(refusals[i].field, refusals[i].value);
        CHECK_ERROR(tokenizer_open(path, &t), STATUS_DATA, refusals[i].message);
        CHECK_ERROR(tokenizer_open(path, &t), STATUS_DATA, "tokenizer.json: ");
        CHECK(t == NULL);
    }
}

static void a_named_encoding_is_refused(void) {
    const char *path = json_write(false);
    char named[512];
    Tokenizer *t;
    snprintf(named, sizeof named, "%s:llama3", path);
    CHECK_ERROR(tokenizer_open(named, &t), STATUS_DATA,
                "tokenizer.json: holds its own pattern; remove ':llama3'");
}

/* Any bytes give an error or a tokenizer, never a crash. */
static void damaged_files_never_crash(void) {
    char *path = strdup(json_write(true));
    damaged_tokenizer_check(path, 3, 300, 2, ' ', 95);
    free(path);
}

int main(int argc, char **argv) {
    const Test tests[] = {
        TEST(both_spellings_of_merges_are_read), TEST(special_tokens_are_read_on_request),
        TEST(the_hash_has_every_rule),           TEST(what_changes_tokens_is_refused_by_its_field),
        TEST(a_named_encoding_is_refused),       TEST(damaged_files_never_crash),
    };
    return harness_run(argc, argv, "tokenizer_json", tests, COUNT(tests));
}
