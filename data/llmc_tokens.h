/* The header of llm.c's token files: 256 int32, of which magic number, version and number of tokens
 * are set. Source: llm.c, dev/data/data_common.py and llmc/dataloader.h. */
#pragma once

#include <stdint.h>

enum { LLMC_HEADER_BYTES = 1024, LLMC_KINDS = 2 };

/* The magic numbers are dates. As nanoGPT tokens the file would start with 55432 or 55713, which
 * are not GPT-2 tokens. */
static const struct {
    int32_t magic, version;
    int width; /* bytes of a token */
} llmc_kinds[LLMC_KINDS] = {{20240520, 1, 2}, {20240801, 7, 4}};
