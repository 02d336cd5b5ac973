/* Loading a config from YAML. Errors are those of launch/config/config.h; nothing is collective. */
#pragma once

#include "launch/config/config.h"

/* Reads a config file and all it extends, then lays the overrides (`key.path=VALUE`, VALUE in YAML)
 * on it in order: defaults < extends, left to right < the file < overrides. Where no `name` is
 * given it is the file's name without its ending. On failure *out is NULL. */
NODISCARD Status config_load(const char *path, int n_overrides, char **overrides, Config **out);

/* The same from a text, such as the config inside a checkpoint; `origin` is how messages call it.
 * The text may not extend other files. Keys in it that older versions had are passed over: nobody
 * can edit a checkpoint. */
NODISCARD Status config_load_text(const char *text, const char *origin, int n_overrides,
                                  char **overrides, Config **out);

void config_destroy(Config **config);

/* A config that is read once and made many times, for the points of a study: a file with all it
 * extends and the overrides on it, but without its sweep. */
typedef struct ConfigBase ConfigBase;
NODISCARD Status config_base_load(const char *path, int n_overrides, char **overrides,
                                  ConfigBase **out);
void config_base_destroy(ConfigBase **base);

/* Keys, values, lists and maps that the base holds: what each config_base_make copies. */
size_t config_base_size(const ConfigBase *base);

/* The base with further overrides laid on it, as config_load would make it. On failure *out is
 * NULL. */
NODISCARD Status config_base_make(const ConfigBase *base, int n_overrides, char **overrides,
                                  Config **out);
