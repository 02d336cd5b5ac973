/* Saver: saves the state of a run. */
#pragma once

#include "launch/run/state.h"

typedef struct Saver Saver;

/* DIRECTORY/checkpoints, which this creates if it is missing; in the arena. */
NODISCARD Status saver_folder(const char *directory, Arena *arena, const char **out);

/* What the config keeps after a save of this progress. */
CheckpointKeep saver_keep(const Config *config, const Progress *progress);

/* A background writer of checkpoints, with the resolved config, into saver_folder. */
NODISCARD Status saver_create(const Experiment *e, const char *directory, Saver **out);

/* If the optimizer is sharded, gathers its whole state on rank 0 before a start, and copies it to
 * rank `partner`, -1: to none; otherwise does nothing. Collective; these two have a saver, which is
 * NULL on other ranks. */
NODISCARD Status saver_gather(Saver *saver, const Experiment *e, int partner);

/* Begins a snapshot of the run, and copies and writes it in the background. On the CPU the state
 * must not change before saver_copy_rest; a GPU's programs wait by themselves (device_copy_start).
 * Waits for the previous one and returns its failure. NULL-safe, as are saver_copy_rest and
 * saver_finish. */
NODISCARD Status saver_start(Saver *saver, const Progress *progress);

/* The same for a snapshot into `folder` (checkpoints/memory_snapshot.h), which outlives it, in
 * place of an older one there. A write that fails is no failure: see saver_missed. */
NODISCARD Status saver_start_memory(Saver *saver, const Progress *progress, const char *folder);

/* Why the last snapshot in memory is not there; OK if it is, or while it is written. NULL-safe. */
NODISCARD Status saver_missed(const Saver *saver);

/* Copies what is left of the last snapshot. */
void saver_copy_rest(const Saver *saver);

/* Whether a start would not wait for the previous one. NULL-safe. */
bool saver_is_idle(const Saver *saver);

/* Waits until the last checkpoint is durable. */
NODISCARD Status saver_finish(Saver *saver);
void saver_destroy(Saver **saver);
