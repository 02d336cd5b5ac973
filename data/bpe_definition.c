#include "data/bpe_definition.h"

#include "data/nfc.h"

#include <stdlib.h>
#include <string.h>

void bpe_definition_free(BpeDefinition *d) {
    vocabulary_destroy(&d->vocabulary);
    pre_tokenizer_rules_free(&d->rules);
}

Status bpe_definition_add(BpeDefinition *d, const char *text, AddedToken token) {
    PreTokenizerRules *rules = &d->rules;
    AddedToken *added = realloc(rules->added, (rules->n_added + 1) * sizeof *added);
    if (added != NULL) rules->added = added;
    token.text = strdup(text);
    if (added == NULL || token.text == NULL) {
        free(token.text);
        return OUT_OF_MEMORY("the added tokens");
    }
    added[rules->n_added++] = token;
    return OK;
}

Status bpe_definition_normalize(BpeDefinition *d) {
    d->rules.has_nfc = true;
    if (nfc_is_available()) return OK;
    return ERROR(STATUS_DATA, "NFC needs libutf8proc, which this build lacks; install "
                              "libutf8proc-dev and build again");
}

Status bpe_definition_finish(BpeDefinition *d) {
    TRY(vocabulary_finish(d->vocabulary));
    int32_t end_of_text = vocabulary_end_of_text(d->vocabulary);
    for (size_t i = 0; i < d->rules.n_added; i++) {
        if (d->rules.added[i].token == end_of_text) return OK;
    }
    size_t length;
    const uint8_t *bytes = vocabulary_bytes(d->vocabulary, end_of_text, &length);
    char *text = strndup((const char *)bytes, length);
    if (text == NULL) return OUT_OF_MEMORY("the added tokens");
    Status status = bpe_definition_add(d, text, (AddedToken){NULL, end_of_text, true, false});
    free(text);
    return status;
}

/* Tokens of another encoding would be wrong without any sign of it. */
static Status count_check(const KnownEncoding *named, int64_t count) {
    const KnownEncoding *known = encoding_of_ranks(count), *used = named;
    if (used == NULL) used = encoding_gpt2;
    if (known == NULL || known->ranks == used->ranks) return OK;
    return ERROR(STATUS_DATA, "%lld tokens are those of %s, not of %s; if so, write FILE:%s",
                 (long long)count, known->name, used->name, known->name);
}

static Status specials_add(BpeDefinition *d, const KnownEncoding *encoding) {
    for (const EncodingSpecial *special = encoding->specials;
         special < encoding->specials + MAX_ENCODING_SPECIALS && special->text != NULL; special++) {
        TRY(vocabulary_add_special(d->vocabulary, special->token, special->text));
        TRY(bpe_definition_add(d, special->text, (AddedToken){NULL, special->token, true, false}));
    }
    vocabulary_reserve(d->vocabulary, encoding->vocab_size);
    return OK;
}

Status bpe_definition_begin(BpeDefinition *d, const KnownEncoding *encoding, int64_t count) {
    TRY(count_check(encoding, count));
    bool is_whole = encoding != NULL && encoding->ranks == count;
    if (encoding == NULL) encoding = encoding_gpt2;
    TRY(vocabulary_create(is_whole ? encoding->vocab_size : count, &d->vocabulary));
    TRY(pattern_create(encoding->pattern, PATTERN_FANCY_REGEX, &d->rules.splits[0]));
    d->rules.n_splits = 1;
    if (encoding->has_nfc) TRY(bpe_definition_normalize(d));
    return is_whole ? specials_add(d, encoding) : OK;
}
