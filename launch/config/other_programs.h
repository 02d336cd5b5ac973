/* Settings of other trainers, and what stands for them here. docs/coming_from.md has the same
 * tables with remarks; tests/launch/test_coming_from.py compares the two. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* What to write in place of an option of nanoGPT, llm.c or Hugging Face's Trainer, or of a config
 * key with dashes: `use data.batch_size=12` for `--batch_size=12`, `use ./evaluate RUN` for
 * `--eval_only`. Returns false for any other option. */
bool option_translate(const char *argument, char *out, size_t bytes);

/* The config key that takes the value of such an option, by the name of the option without dashes,
 * in any group: `optimizer.lr` for `learning_rate`, `training.learning_rate`. Returns false if
 * there is none. */
bool key_translate(const char *path, char *out, size_t bytes);
