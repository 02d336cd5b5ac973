/* A small checkpoint whose content is a function of its step, so that a reader can verify it. */
#pragma once

#include "checkpoints/shards.h"

#include <dirent.h>
#include <string.h>

enum { SAMPLE_N = 2500 };

typedef struct Sample {
    float weights[SAMPLE_N];
    double moments[3][50];
    int64_t cursor[4];
    CheckpointTensor tensors[4];
    CheckpointValue values[3];
    CheckpointContents contents;
} Sample;

static inline void sample_fill(Sample *s, int64_t step) {
    for (int i = 0; i < SAMPLE_N; i++) s->weights[i] = (float)step + 0.25f * (float)i;
    for (int i = 0; i < 150; i++) s->moments[i / 50][i % 50] = (double)step * 1e-3 + i;
    for (int i = 0; i < 4; i++) s->cursor[i] = step * 1000000007 + i;
    s->tensors[0] = (CheckpointTensor){"wte", DTYPE_F32, 2, {50, 50}, s->weights};
    s->tensors[1] = (CheckpointTensor){"wte.m", DTYPE_F64, 2, {3, 50}, s->moments};
    s->tensors[2] = (CheckpointTensor){"data.cursor", DTYPE_I64, 1, {4}, s->cursor};
    s->tensors[3] = (CheckpointTensor){"scalar", DTYPE_F32, 0, {0}, s->weights};
    s->values[0] = (CheckpointValue){.name = "step", .kind = CHECKPOINT_I64, .i64 = step};
    s->values[1] =
        (CheckpointValue){.name = "train_s", .kind = CHECKPOINT_F64, .f64 = 0.1 * (double)step};
    s->values[2] = (CheckpointValue){
        .name = "config", .kind = CHECKPOINT_TEXT, .text = "name: \xc3\xa4\nseed: 1337\n"};
    s->contents = (CheckpointContents){
        .tensors = s->tensors, .n_tensors = 4, .values = s->values, .n_values = 3};
}

/* Takes a snapshot and writes it. */
NODISCARD static inline Status sample_keep(const char *dir, int64_t step, CheckpointKeep keep) {
    static Sample sample;
    static CheckpointImage *image;
    size_t bytes;
    sample_fill(&sample, step);
    TRY(checkpoint_image_bytes(&sample.contents, &bytes));
    if (image == NULL) TRY(checkpoint_image_create(bytes, &image));
    TRY(checkpoint_snapshot(image, &sample.contents));
    return checkpoint_write(image, dir, step, keep);
}

/* The same, without a best one. */
NODISCARD static inline Status sample_write(const char *dir, int64_t step, int keep) {
    return sample_keep(dir, step, (CheckpointKeep){keep, -1, false});
}

/* Part `index` of n of every tensor; returns how many have elements. */
static inline int64_t sample_parts(const Sample *s, int index, int n, CheckpointTensor out[4]) {
    int64_t kept = 0;
    for (int i = 0; i < 4; i++) {
        CheckpointTensor part = s->tensors[i];
        int64_t count = 1;
        for (int d = 0; d < part.n_dims; d++) count *= part.shape[d];
        int64_t first = count * index / n, end = count * (index + 1) / n;
        part.data = (const char *)part.data + (size_t)first * dtype_size(part.dtype);
        part.n_dims = 1;
        part.shape[0] = end - first;
        if (end > first) out[kept++] = part;
    }
    return kept;
}

/* Takes a snapshot of shard `index` and writes it. */
NODISCARD static inline Status sample_shard(const Sample *s, ShardedSave *save, int index,
                                            CheckpointKeep keep, bool *is_given_up) {
    static CheckpointImage *image;
    CheckpointTensor tensors[4];
    CheckpointContents parts = {.tensors = tensors,
                                .n_tensors = sample_parts(s, index, save->shards, tensors)},
                       contents;
    Arena arena = {0};
    if (image == NULL) TRY(checkpoint_image_create(1, &image));
    Status status = shards_contents(save, index, &parts, &arena, &contents);
    if (!failed(status)) status = checkpoint_snapshot(image, &contents);
    if (!failed(status)) status = shards_write(save, index, image, keep, is_given_up);
    arena_free(&arena);
    return status;
}

/* Takes a snapshot of the manifest and ends the save. */
NODISCARD static inline Status sample_commit(const Sample *s, ShardedSave *save,
                                             CheckpointKeep keep, bool *is_given_up) {
    static CheckpointImage *image;
    CheckpointContents contents;
    Arena arena = {0};
    if (image == NULL) TRY(checkpoint_image_create(1, &image));
    Status status = shards_manifest(save, &s->contents, &arena, &contents);
    if (!failed(status)) status = checkpoint_snapshot(image, &contents);
    if (!failed(status)) status = shards_commit(save, image, keep, is_given_up);
    arena_free(&arena);
    return status;
}

/* Saves in n shards, the last one first. */
NODISCARD static inline Status sample_keep_shards(const char *dir, int64_t step, int n,
                                                  CheckpointKeep keep) {
    static Sample sample;
    ShardedSave save = {.dir = dir, .step = step, .shards = n};
    bool is_given_up;
    sample_fill(&sample, step);
    TRY(shards_begin(&save));
    for (int i = n - 1; i >= 0; i--) TRY(sample_shard(&sample, &save, i, keep, &is_given_up));
    return sample_commit(&sample, &save, keep, &is_given_up);
}

/* In three shards, without a best one. */
NODISCARD static inline Status sample_write_shards(const char *dir, int64_t step, int keep) {
    return sample_keep_shards(dir, step, 3, (CheckpointKeep){keep, -1, false});
}

NODISCARD static inline Status sample_compare(const CheckpointFile *file, Arena *arena) {
    static Sample wanted, read;
    int64_t step = 0;
    double seconds = 0;
    char *config = NULL;
    sample_fill(&wanted, checkpoint_step(file));
    sample_fill(&read, -1);
    void *into[] = {read.weights, read.moments, read.cursor};
    for (int i = 0; i < 3; i++) TRY(checkpoint_read_tensor(file, &wanted.tensors[i], into[i]));
    TRY(checkpoint_read_i64(file, "step", &step));
    TRY(checkpoint_read_f64(file, "train_s", &seconds));
    TRY(checkpoint_read_text(file, "config", arena, &config));
    bool same = memcmp(read.weights, wanted.weights, sizeof read.weights) == 0 &&
                memcmp(read.moments, wanted.moments, sizeof read.moments) == 0 &&
                memcmp(read.cursor, wanted.cursor, sizeof read.cursor) == 0 &&
                step == checkpoint_step(file) && seconds == wanted.values[1].f64 &&
                strcmp(config, wanted.values[2].text) == 0;
    return same
               ? OK
               : ERROR(STATUS_FAILURE, "%s: other contents than were saved", checkpoint_path(file));
}

/* Reads everything back: STATUS_FAILURE if a value differs. */
NODISCARD static inline Status sample_check(const CheckpointFile *file) {
    Arena arena = {0};
    Status status = sample_compare(file, &arena);
    arena_free(&arena);
    return status;
}

/* The number of files in the directory whose names contain this text. */
static inline int files_count(const char *dir, const char *part) {
    int n = 0;
    DIR *listing = opendir(dir);
    for (struct dirent *entry; listing != NULL && (entry = readdir(listing)) != NULL;) {
        n += entry->d_name[0] != '.' || entry->d_name[1] == 's'
                 ? strstr(entry->d_name, part) != NULL
                 : 0;
    }
    if (listing != NULL) closedir(listing);
    return n;
}
