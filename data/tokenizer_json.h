/* tokenizer.json of Hugging Face, for byte-level BPE: Llama 3, Qwen 2 and 3, GPT-2.
 *
 *   model             BPE with vocab, merges ("a b" or ["a", "b"]) and ignore_merges
 *   normalizer        null or NFC
 *   pre_tokenizer     a ByteLevel, after any number of Split (Isolated) and Digits, in Sequences
 *   added_tokens      special ones are read from text only on request, the others always
 *
 * post_processor, truncation, padding and decoder are not part of the tokens of a text, and
 * ignored. Everything else is refused by the name of its field. Source: Hugging Face tokenizers
 * 0.23. */
#pragma once

#include "data/bpe_definition.h"

/* tokenizer_json_read: reads `text`, the content of the file `path`.
 *   Errors: STATUS_DATA naming file and field. Not collective. */
NODISCARD Status tokenizer_json_read(const char *path, const char *text, size_t size,
                                     BpeDefinition *out);
