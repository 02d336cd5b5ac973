/* The tables of bench numerics: for people, as CSV and as a picture. */
#pragma once

#include "launch/bench/bench_output.h"
#include "launch/bench/numerics_composition.h"

/* q and k have standard deviations of 2 to these powers. */
enum { NUMERICS_LEAST_POWER = -2, NUMERICS_MOST_POWER = 6 };

typedef struct NumericsPoint {
    const char *name;
    bool is_composition; /* written out on the host, with no gradient */
    DType dtype;
    /* error, gradient: relative, of out and of q's, k's and v's gradients together */
    double magnitude, error, gradient;
} NumericsPoint;

typedef struct NumericsTable {
    const NumericsShape *shape;
    const char *device;
    BenchOutput *output;
    NumericsPoint *points; /* in the order in which they were measured */
    int count, room;
    struct {
        DType dtype;
        const char *name, *why;
    } refusals[16];
    int refused;
} NumericsTable;

void numerics_table_begin(const NumericsTable *table);

NODISCARD Status numerics_table_add(NumericsTable *table, NumericsPoint point);

/* A backend that does not take the precision; said once. */
void numerics_table_refuse(NumericsTable *table, DType dtype, const char *name, const char *why);

/* The rows of one precision, once all is measured. */
void numerics_table_print(const NumericsTable *table, DType dtype);

/* gnuplot's commands: a panel a precision; what is no number stands at the upper border. */
void numerics_table_plot(const NumericsTable *table);

void numerics_table_free(NumericsTable *table);
