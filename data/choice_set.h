/* ChoiceSet: multiple-choice questions. A question is a context, choices that could continue it,
 * and the number of the right one.
 *
 *   llm.c      256 int32 of header (magic 20240522, version 1, number of questions, bytes of the
 *              longest one); then for each question uint16: 65535, its bytes, its number, the right
 *              choice, the number of choices; the length and tokens of the context; the length and
 *              tokens of each choice. Source: llm.c, dev/data/data_common.py
 *   JSON lines {"context": "...", "choices": ["...", "..."], "answer": 0} on each line; context and
 *              choices are encoded one by one, so a choice begins with its space
 *   HellaSwag  {"ctx": "...", "endings": ["...", ...], "label": 3, ...} on each line; each ending
 *              gets a space before it, as in llm.c's dev/data/hellaswag.py. Source: Zellers et al.,
 *              arXiv:1905.07830, hellaswag_val.jsonl
 *
 * The content determines the format. Not collective. */
#pragma once

#include "core/status.h"
#include "data/token_buffer.h"
#include "data/tokenizer.h"

/* One choice with its context: tokens [at, at + context + length). */
typedef struct Choice {
    int64_t at, context, length;
} Choice;

typedef struct ChoiceQuestion {
    int64_t first; /* of its choices */
    int64_t count, answer;
} ChoiceQuestion;

/* Initialize it with {0}. */
typedef struct ChoiceSet {
    TokenBuffer tokens;
    Choice *choices;
    ChoiceQuestion *questions;
    int64_t n_choices, n_questions;
} ChoiceSet;

typedef enum ChoiceFormat { CHOICES_NONE, CHOICES_LLMC, CHOICES_JSON } ChoiceFormat;

/* The format that a file begins as; CHOICES_NONE also if it cannot be opened. */
ChoiceFormat choice_set_format(const char *path);

/* choice_set_read: reads all questions. `tokenizer` encodes JSON lines; NULL: unknown. Every token
 * must be less than vocab_size, and every choice with one token of context fit T inputs; longer
 * contexts lose their start.
 *   Errors: STATUS_DATA with the number of the question; STATUS_OUT_OF_MEMORY. */
NODISCARD Status choice_set_read(const char *path, Tokenizer *tokenizer, int64_t vocab_size,
                                 int64_t T, ChoiceSet *out);
void choice_set_free(ChoiceSet *set);
