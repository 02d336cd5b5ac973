/* What tile_product.c computes at a time on the processor that is compiled for. */
#pragma once

#if defined(__AVX512F__)
enum { TILE_VECTOR = 64, TILE_ROWS = 8 }; /* bytes of a vector, rows of a block */
#elif defined(__AVX__)
enum { TILE_VECTOR = 32, TILE_ROWS = 6 };
#else
enum { TILE_VECTOR = 16, TILE_ROWS = 6 };
#endif
