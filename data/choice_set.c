#include "data/choice_set.h"

#include "core/base/input_file.h"
#include "core/base/utf8.h"
#include "data/json_start.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAGIC = 20240522,
    VERSION = 1,
    HEADER_BYTES = 1024,
    HEAD_BYTES = 64,
    QUESTION_MARK = 65535,
    HEAD_WORDS = 5,
    MOST_BYTES = 1 << 30,
    MOST_CHOICES = 64
};

typedef struct ChoiceReader {
    const char *path;
    Tokenizer *tokenizer;
    int64_t vocab_size, T;
    long long number; /* of the question, from 0, or of the line, from 1 */
    ChoiceSet *set;
    int64_t choice_capacity, question_capacity;
} ChoiceReader;

/* An array of objects is refused later. */
static ChoiceFormat format_of(const char head[HEAD_BYTES]) {
    bool is_array;
    int32_t magic = 0;
    memcpy(&magic, head, sizeof magic);
    if (magic == MAGIC) return CHOICES_LLMC;
    bool is_json = json_starts_objects((const uint8_t *)head, HEAD_BYTES, &is_array);
    return is_json ? CHOICES_JSON : CHOICES_NONE;
}

ChoiceFormat choice_set_format(const char *path) {
    InputFile file;
    char head[HEAD_BYTES + 1] = "";
    if (failed(input_open(path, &file))) return CHOICES_NONE;
    size_t bytes = file.bytes < HEAD_BYTES ? (size_t)file.bytes : HEAD_BYTES;
    bool is_read = !failed(input_read(&file, head, bytes, 0));
    input_close(&file);
    return is_read ? format_of(head) : CHOICES_NONE;
}

void choice_set_free(ChoiceSet *set) {
    token_buffer_free(&set->tokens);
    free(set->choices);
    free(set->questions);
    *set = (ChoiceSet){0};
}

/* ---- building the set ------------------------------------------------------------------------ */

static Status wrong(const ChoiceReader *r, const char *what) {
    return ERROR(STATUS_DATA, "%s:%lld: %s", r->path, r->number, what);
}

/* Doubles the capacity of a full array. */
static Status grow(void **items, int64_t count, int64_t *capacity, size_t size) {
    if (count < *capacity) return OK;
    int64_t more = 2 * *capacity + 64;
    void *grown = realloc(*items, (size_t)more * size);
    if (grown == NULL) return OUT_OF_MEMORY("the questions");
    *items = grown;
    *capacity = more;
    return OK;
}

static Status question_begin(ChoiceReader *r, int64_t count, int64_t answer) {
    ChoiceSet *set = r->set;
    if (count < 2 || count > MOST_CHOICES) return wrong(r, "a question needs 2 to 64 choices");
    if (answer < 0 || answer >= count) return wrong(r, "the answer is none of the choices");
    TRY(grow((void **)&set->questions, set->n_questions, &r->question_capacity,
             sizeof *set->questions));
    set->questions[set->n_questions++] = (ChoiceQuestion){set->n_choices, count, answer};
    return OK;
}

static Status tokens_check(const ChoiceReader *r, const TokenBuffer *tokens) {
    for (size_t i = 0; i < tokens->count; i++) {
        if (tokens->tokens[i] < r->vocab_size) continue;
        return ERROR(STATUS_DATA,
                     "%s:%lld: token %d is not below the model's vocabulary size %lld; make the "
                     "file with the model's tokenizer",
                     r->path, r->number, tokens->tokens[i], (long long)r->vocab_size);
    }
    return OK;
}

/* The context loses its start if both do not fit T inputs and the last target. */
static Status choice_add(ChoiceReader *r, const TokenBuffer *context, const TokenBuffer *choice) {
    ChoiceSet *set = r->set;
    size_t most = (size_t)r->T + 1, dropped = 0;
    if (context->count == 0) return wrong(r, "the context has no tokens");
    if (choice->count == 0) return wrong(r, "a choice has no tokens");
    if (choice->count >= most) {
        return ERROR(STATUS_DATA,
                     "%s:%lld: a choice of %zu tokens does not fit model.block_size %lld; leave "
                     "the question out",
                     r->path, r->number, choice->count, (long long)r->T);
    }
    if (context->count + choice->count > most) dropped = context->count + choice->count - most;
    size_t kept = context->count - dropped;
    TRY(tokens_check(r, context));
    TRY(tokens_check(r, choice));
    TRY(grow((void **)&set->choices, set->n_choices, &r->choice_capacity, sizeof *set->choices));
    set->choices[set->n_choices++] =
        (Choice){(int64_t)set->tokens.count, (int64_t)kept, (int64_t)choice->count};
    TRY(token_buffer_append(&set->tokens, context->tokens + dropped, kept));
    return token_buffer_append(&set->tokens, choice->tokens, choice->count);
}

/* ---- llm.c ----------------------------------------------------------------------------------- */

typedef struct Words {
    const uint16_t *at, *end;
} Words;

static Status cut_off(const ChoiceReader *r) {
    return wrong(r, "the question is cut off or damaged; make the file again");
}

/* A length and that many tokens. */
static Status words_take(const ChoiceReader *r, Words *words, TokenBuffer *out) {
    out->count = 0;
    if (words->at == words->end || words->end - words->at <= *words->at) return cut_off(r);
    for (int left = *words->at++; left > 0; left--)
        TRY(token_buffer_append(out, &(int32_t){*words->at++}, 1));
    return OK;
}

static Status question_take(ChoiceReader *r, Words *words, TokenBuffer *context,
                            TokenBuffer *choice) {
    const uint16_t *head = words->at;
    if (words->end - head < HEAD_WORDS || head[0] != QUESTION_MARK) return cut_off(r);
    words->at += HEAD_WORDS;
    TRY(question_begin(r, head[4], head[3]));
    TRY(words_take(r, words, context));
    for (int i = 0; i < head[4]; i++) {
        TRY(words_take(r, words, choice));
        TRY(choice_add(r, context, choice));
    }
    return OK;
}

static Status llmc_read(ChoiceReader *r, const char *bytes, size_t size, TokenBuffer *context,
                        TokenBuffer *choice) {
    int32_t header[4];
    if (size < HEADER_BYTES) return cut_off(r);
    memcpy(header, bytes, sizeof header);
    if (header[1] != VERSION) {
        return ERROR(STATUS_DATA, "%s: version %d of llm.c's evaluation files is unknown; known: 1",
                     r->path, header[1]);
    }
    Words words = {(const uint16_t *)(const void *)(bytes + HEADER_BYTES),
                   (const uint16_t *)(const void *)(bytes + size / 2 * 2)};
    for (; r->number < header[2]; r->number++) TRY(question_take(r, &words, context, choice));
    return words.at == words.end && size % 2 == 0 ? OK : cut_off(r);
}

/* ---- JSON lines ------------------------------------------------------------------------------ */

static Status text_encode(const ChoiceReader *r, const json_t *text, TokenBuffer *out) {
    out->count = 0;
    return tokenizer_encode(r->tokenizer, json_string_value(text), json_string_length(text), out);
}

/* The names of a question's fields, and what precedes each choice. */
typedef struct JsonForm {
    const char *context, *choices, *answer, *before;
} JsonForm;

static const JsonForm own_form = {"context", "choices", "answer", ""},
                      hellaswag_form = {"ctx", "endings", "label", " "};

/* A number, or its digits: Hugging Face's copy of HellaSwag has "label": "3". -1: neither. */
static int64_t answer_of(const json_t *answer) {
    const char *text = json_string_value(answer);
    if (json_is_integer(answer)) return json_integer_value(answer);
    return text != NULL && strlen(text) == 1 && text[0] >= '0' && text[0] <= '9' ? text[0] - '0'
                                                                                 : -1;
}

static Status choice_take(ChoiceReader *r, const JsonForm *form, const json_t *item,
                          const TokenBuffer *context, TokenBuffer *choice) {
    if (!json_is_string(item)) return wrong(r, "a choice is not a string");
    json_t *text = json_sprintf("%s%s", form->before, json_string_value(item));
    Status status = text == NULL ? OUT_OF_MEMORY("the questions") : text_encode(r, text, choice);
    json_decref(text);
    TRY(status);
    return choice_add(r, context, choice);
}

static Status object_take(ChoiceReader *r, const json_t *object, TokenBuffer *context,
                          TokenBuffer *choice) {
    const JsonForm *form = json_object_get(object, "endings") != NULL ? &hellaswag_form : &own_form;
    const json_t *text = json_object_get(object, form->context),
                 *choices = json_object_get(object, form->choices),
                 *answer = json_object_get(object, form->answer);
    if (!json_is_string(text) || !json_is_array(choices) || answer == NULL) {
        return wrong(r, "not a question; write {\"context\": \"...\", \"choices\": [\"...\", "
                        "\"...\"], \"answer\": 0}");
    }
    TRY(question_begin(r, (int64_t)json_array_size(choices), answer_of(answer)));
    TRY(text_encode(r, text, context));
    for (size_t i = 0; i < json_array_size(choices); i++)
        TRY(choice_take(r, form, json_array_get(choices, i), context, choice));
    return OK;
}

static Status json_read(ChoiceReader *r, const char *bytes, size_t size, TokenBuffer *context,
                        TokenBuffer *choice) {
    if (r->tokenizer == NULL)
        return ERROR(STATUS_DATA,
                     "%s: the model's tokenizer is unknown; name tokens in llm.c's "
                     "format instead",
                     r->path);
    const char *end = bytes + size;
    for (const char *line = bytes + utf8_mark((const uint8_t *)bytes, size), *next; line < end;
         line = next) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        next = newline == NULL ? end : newline + 1;
        r->number++;
        size_t spaces = strspn(line, " \t\r\n");
        if (spaces >= (size_t)(next - line)) continue;
        if (line[spaces] == '[')
            return wrong(r, "a JSON array, not JSON lines; convert it with jq -c '.[]'");
        json_t *object = json_loadb(line, (size_t)(next - line), JSON_REJECT_DUPLICATES, NULL);
        Status status = object_take(r, object, context, choice);
        json_decref(object);
        TRY(status);
    }
    return OK;
}

Status choice_set_read(const char *path, Tokenizer *tokenizer, int64_t vocab_size, int64_t T,
                       ChoiceSet *out) {
    ChoiceReader r = {path, tokenizer, vocab_size, T, .set = out};
    TokenBuffer context = {0}, choice = {0};
    char *bytes;
    size_t size;
    TRY(input_read_whole(path, MOST_BYTES, &bytes, &size));
    bool is_llmc = size >= HEAD_BYTES && format_of(bytes) == CHOICES_LLMC;
    Status status = is_llmc ? llmc_read(&r, bytes, size, &context, &choice)
                            : json_read(&r, bytes, size, &context, &choice);
    if (!failed(status) && out->n_questions == 0)
        status = ERROR(STATUS_DATA, "%s: has no questions", path);
    token_buffer_free(&context);
    token_buffer_free(&choice);
    free(bytes);
    if (failed(status)) choice_set_free(out);
    return status;
}
