#include "data/encodings.h"

#include <stddef.h>
#include <string.h>

/* Source: openai/gpt-2, encoder.py. */
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* Source: openai/tiktoken, tiktoken_ext/openai_public.py. */
#define CL100K                                                                                     \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+|"                          \
    " ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s"
#define O200K                                                                                      \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*"                                  \
    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"                                 \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"                                  \
    "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"                                 \
    "\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Sources: meta-llama/llama3, llama/tokenizer.py; QwenLM/Qwen, tokenization_qwen.py. They differ in
 * the number of digits in a piece. */
#define LLAMA3_OR_QWEN(DIGITS)                                                                     \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" DIGITS "|"                       \
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Of Llama 3's special tokens, those whose names are the same from 3 to 3.3. */
static const KnownEncoding encodings[] = {
    {"gpt2", GPT2, false, 50256, 50257, {{50256, "<|endoftext|>"}}},
    {"r50k_base", GPT2, false, 50256, 50257, {{50256, "<|endoftext|>"}}},
    {"p50k_base", GPT2, false, 50280, 50281, {{50256, "<|endoftext|>"}}},
    {"cl100k_base",
     CL100K,
     false,
     100256,
     100277,
     {{100257, "<|endoftext|>"},
      {100258, "<|fim_prefix|>"},
      {100259, "<|fim_middle|>"},
      {100260, "<|fim_suffix|>"},
      {100276, "<|endofprompt|>"}}},
    {"o200k_base",
     O200K,
     false,
     199998,
     200019,
     {{199999, "<|endoftext|>"}, {200018, "<|endofprompt|>"}}},
    {"llama3",
     LLAMA3_OR_QWEN("\\p{N}{1,3}"),
     false,
     128000,
     128256,
     {{128000, "<|begin_of_text|>"},
      {128001, "<|end_of_text|>"},
      {128006, "<|start_header_id|>"},
      {128007, "<|end_header_id|>"},
      {128009, "<|eot_id|>"}}},
    {"qwen2",
     LLAMA3_OR_QWEN("\\p{N}"),
     true,
     151643,
     151646,
     {{151643, "<|endoftext|>"}, {151644, "<|im_start|>"}, {151645, "<|im_end|>"}}},
};

const char encoding_names[] =
    "gpt2, r50k_base, p50k_base, cl100k_base, o200k_base, llama3 or qwen2";

const KnownEncoding *const encoding_gpt2 = &encodings[0];

const KnownEncoding *encoding_named(const char *name) {
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++) {
        if (strcmp(encodings[i].name, name) == 0) return &encodings[i];
    }
    return NULL;
}

const KnownEncoding *encoding_of_ranks(int64_t ranks) {
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++) {
        if (encodings[i].ranks == ranks) return &encodings[i];
    }
    return NULL;
}
