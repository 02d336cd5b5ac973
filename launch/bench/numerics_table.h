/* The tables of bench numerics: as text, as CSV and as a chart. */
#pragma once

#include "launch/bench/bench_output.h"
#include "launch/bench/numerics_composition.h"

/* q and k have standard deviations of 2 to these powers. */
enum { NUMERICS_LEAST_POWER = -2, NUMERICS_MOST_POWER = 6 };

typedef struct NumericsPoint {
    const char *name;
    bool is_composition; /* composed on the host, without a gradient */
    DType dtype;
    /* error, gradient: relative, of out, and of the gradients of q, k and v together */
    double magnitude, error, gradient;
} NumericsPoint;

typedef struct NumericsTable {
    const NumericsShape *shape;
    const char *device;
    BenchOutput *output;
    NumericsPoint *points; /* in the order of measurement */
    int count, capacity;
    struct {
        DType dtype;
        const char *name, *why;
    } refusals[16];
    int refused;
} NumericsTable;

void numerics_table_begin(const NumericsTable *table);

NODISCARD Status numerics_table_add(NumericsTable *table, NumericsPoint point);

/* Reports, once, a backend that does not support the precision. */
void numerics_table_refuse(NumericsTable *table, DType dtype, const char *name, const char *why);

/* Prints the rows of one precision, after all its measurements. */
void numerics_table_print(const NumericsTable *table, DType dtype);

/* Writes gnuplot commands: a panel per precision; values that are not finite are at the upper
 * border. */
void numerics_table_plot(const NumericsTable *table);

void numerics_table_free(NumericsTable *table);
