/* Numbers for people, in few characters. Not collective. */
#pragma once

#include <stddef.h>

/* The number to print: a NaN without a sign. */
double readable_real(double value);

/* A count or a rate with three digits and a unit: 421 K, 1.20 M. */
void readable_count(double count, char *text, size_t bytes);

/* 45 s, 12 m 30 s, 1 h 05 m. */
void readable_seconds(double seconds, char *text, size_t bytes);

/* 312 MiB, 9.1 GiB. */
void readable_memory(double memory, char *text, size_t bytes);
