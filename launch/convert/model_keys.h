/* Compares two models by the keys of the config. Not collective. */
#pragma once

#include "core/status.h"
#include "nn/model_config.h"

/* The number of `model` and `attention` keys in which two models of equal sizes compute different
 * functions. Values that say the same compare equal: `auto` and its number, a window over all
 * positions and `full`, options of rope without rotary positions. The initialization, dropout and
 * padding do not count; nor does block_size if no parameter or frequency depends on it. *key is the
 * first such key, or NULL. */
int model_keys_differing(const ModelConfig *a, const ModelConfig *b, const char **key);

/* An error with this code if a model differs from that of the weights: "PATH: KEY is X, but the
 * weights have Y". */
NODISCARD Status model_keys_check(StatusCode code, const char *path, const ModelConfig *model,
                                  const ModelConfig *weights);

/* The value of a key of the config as text, for free(); NULL if memory is out. */
char *model_key_text(const char *key, const ModelConfig *config);

/* Replaces each number that its key's `auto` stands for by `auto`. */
ModelConfig model_config_abridged(ModelConfig config);
