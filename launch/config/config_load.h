/* Loading a config from YAML. Errors are those of launch/config/config.h; nothing is collective. */
#pragma once

#include "launch/config/config.h"

/* Reads a config file and all files that it extends, then applies the overrides (`key.path=VALUE`,
 * VALUE in YAML) in order: defaults < extends, left to right < the file < overrides. The default of
 * `name` is the file name without its extension. On failure *out is NULL. */
NODISCARD Status config_load(const char *path, int n_overrides, char **overrides, Config **out);

/* The same from a text, such as the config in a checkpoint; `origin` is its name in messages. The
 * text may not extend other files. Keys of older versions are ignored, because nobody can edit a
 * checkpoint. */
NODISCARD Status config_load_text(const char *text, const char *origin, int n_overrides,
                                  char **overrides, Config **out);

void config_destroy(Config **config);

/* A config that is read once and instantiated many times, for the points of a study: a file with
 * all files that it extends and the overrides, without its sweep. */
typedef struct ConfigBase ConfigBase;
NODISCARD Status config_base_load(const char *path, int n_overrides, char **overrides,
                                  ConfigBase **out);
void config_base_destroy(ConfigBase **base);

/* The number of keys, values, lists and maps in the base, all of which each config_base_make
 * copies. */
size_t config_base_size(const ConfigBase *base);

/* The base with further overrides applied, as config_load would load it. On failure *out is
 * NULL. */
NODISCARD Status config_base_make(const ConfigBase *base, int n_overrides, char **overrides,
                                  Config **out);
