#include "launch/bench/numerics_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_REFUSALS = 16 };

void numerics_table_begin(const NumericsTable *table) {
    const NumericsShape *s = table->shape;
    FILE *out = table->output->table;
    fprintf(out, "error against f64, relative, on %s: B %lld, NH %lld, T %lld, HS %lld, %s\n",
            table->device, (long long)s->B, (long long)s->NH, (long long)s->T, (long long)s->HS,
            s->causal ? "causal" : "full");
    fputs("q and k are normal with the standard deviation of the column, v with 1, all rounded to "
          "the precision first;\n"
          "unscaled and pre-scaled are the article's compositions, written out on the host\n",
          out);
    fputs("device,dtype,name,tensor,magnitude,error\n", table->output->csv);
    fflush(out);
}

static void point_csv(const NumericsTable *table, const NumericsPoint *p, const char *tensor,
                      double error) {
    csv_put(table->output->csv, table->device);
    fprintf(table->output->csv, ",%s,%s,%s,%g,%.4e\n", dtype_name(p->dtype), p->name, tensor,
            p->magnitude, error);
}

Status numerics_table_add(NumericsTable *table, NumericsPoint point) {
    if (table->count == table->capacity) {
        int capacity = 2 * table->capacity + 64;
        NumericsPoint *points = realloc(table->points, (size_t)capacity * sizeof *points);
        if (points == NULL) return OUT_OF_MEMORY("a table");
        table->points = points;
        table->capacity = capacity;
    }
    table->points[table->count++] = point;
    point_csv(table, &point, "out", point.error);
    if (!point.is_composition) point_csv(table, &point, "gradients", point.gradient);
    return OK;
}

void numerics_table_refuse(NumericsTable *table, DType dtype, const char *name, const char *why) {
    for (int i = 0; i < table->refused; i++) {
        if (table->refusals[i].dtype == dtype && strcmp(table->refusals[i].name, name) == 0) return;
    }
    if (table->refused == MOST_REFUSALS) return;
    table->refusals[table->refused].dtype = dtype;
    table->refusals[table->refused].name = name;
    table->refusals[table->refused++].why = why;
}

/* Whether a point is the first of its line. */
static bool starts_line(const NumericsTable *table, int index) {
    const NumericsPoint *p = &table->points[index];
    for (int i = 0; i < index; i++) {
        if (table->points[i].dtype == p->dtype && strcmp(table->points[i].name, p->name) == 0)
            return false;
    }
    return true;
}

static bool on_line(const NumericsPoint *p, const NumericsPoint *line) {
    return p->dtype == line->dtype && strcmp(p->name, line->name) == 0;
}

static void line_print(const NumericsTable *table, const NumericsPoint *line, bool gradients) {
    FILE *out = table->output->table;
    fprintf(out, "%-4s %-9s %-14s", dtype_name(line->dtype), gradients ? "gradients" : "out",
            line->name);
    for (int i = 0; i < table->count; i++) {
        const NumericsPoint *p = &table->points[i];
        double error = gradients ? p->gradient : p->error;
        if (!on_line(p, line)) continue;
        if (isfinite(error))
            fprintf(out, " %8.1e", error);
        else
            fprintf(out, " %8s", isnan(error) ? "nan" : "inf");
    }
    fputc('\n', out);
}

void numerics_table_print(const NumericsTable *table, DType dtype) {
    FILE *out = table->output->table;
    fprintf(out, "\n%-29s", "standard deviation of q and k");
    for (int power = NUMERICS_LEAST_POWER; power <= NUMERICS_MOST_POWER; power++) {
        fprintf(out, power < NUMERICS_MOST_POWER ? " %8g" : " %8g\n", ldexp(1, power));
    }
    for (int gradients = 0; gradients < 2; gradients++) {
        for (int i = 0; i < table->count; i++) {
            const NumericsPoint *p = &table->points[i];
            bool wanted = p->dtype == dtype && starts_line(table, i) &&
                          !(gradients == 1 && p->is_composition);
            if (wanted) line_print(table, p, gradients == 1);
        }
    }
    for (int i = 0; i < table->refused; i++) {
        if (table->refusals[i].dtype != dtype) continue;
        fprintf(out, "%-4s %-9s %-14s refused: %s\n", dtype_name(dtype), "",
                table->refusals[i].name, table->refusals[i].why);
    }
    fflush(out);
}

/* The points of a line: magnitude, error, and 1 if the error is not finite. */
static void line_data(const NumericsTable *table, int index) {
    FILE *plot = table->output->plot;
    fprintf(plot, "$line%d << EOD\n", index);
    for (int i = 0; i < table->count; i++) {
        const NumericsPoint *p = &table->points[i];
        if (!on_line(p, &table->points[index])) continue;
        bool is_number = isfinite(p->error);
        fprintf(plot, "%g %.4e %s\n", p->magnitude, is_number && p->error > 0 ? p->error : 1e-9,
                is_number ? "0" : "1");
    }
    fputs("EOD\n", plot);
}

/* A name has the same color and symbol in every panel. */
static int style_of(const char *name) {
    static const char *const names[] = {"unscaled", "pre-scaled",    "baseline",
                                        "math",     "mem_efficient", "flash"};
    for (int i = 0; i < 6; i++) {
        if (strcmp(names[i], name) == 0) return i;
    }
    return 6;
}

static void panel_plot(const NumericsTable *table, DType dtype) {
    static const char *const colors[] = {"#d55e00", "#0072b2", "#e69f00", "#56b4e9",
                                         "#009e73", "#000000", "#999999"};
    static const int marks[] = {4, 6, 1, 2, 8, 7, 3};
    FILE *plot = table->output->plot;
    int lines = 0;
    fprintf(plot, "set title '%s'\nset key %s left\nplot ", dtype_name(dtype),
            dtype == DTYPE_F32 ? "top" : "bottom");
    for (int i = 0; i < table->count; i++) {
        if (table->points[i].dtype != dtype || !starts_line(table, i)) continue;
        int style = style_of(table->points[i].name);
        fprintf(plot,
                "%s$line%d using 1:($3==0?$2:1/0) with linespoints lw 1.5 pt %d ps 0.8 lc rgb '%s' "
                "title '%s', "
                "$line%d using 1:($3==1?20:1/0) with points pt %d ps 1.3 lc rgb '%s' notitle",
                lines++ > 0 ? ", " : "", i, marks[style], colors[style], table->points[i].name, i,
                marks[style], colors[style]);
    }
    fputc('\n', plot);
}

void numerics_table_plot(const NumericsTable *table) {
    FILE *plot = table->output->plot;
    for (int i = 0; i < table->count; i++) {
        if (starts_line(table, i)) line_data(table, i);
    }
    fprintf(plot,
            "set multiplot layout 1,3 title \"attention's relative error against f64 on %s; at the "
            "upper border: "
            "not finite\" noenhanced font ',13'\n",
            table->device);
    fputs(
        "set border 3\nset tics nomirror\nset grid ytics lc rgb '#dddddd'\nset logscale x 2\nset "
        "logscale y\nset "
        "mytics 1\n"
        "set yrange [1e-8:30]\nset xrange [0.2:80]\nset format y '10^{%L}'\nset format x '2^{%L}'\n"
        "set xtics 0.25,4\nset key noenhanced Left reverse samplen 2 font ',11'\n"
        "set xlabel 'standard deviation of q and k'\n",
        plot);
    panel_plot(table, DTYPE_F16);
    panel_plot(table, DTYPE_BF16);
    panel_plot(table, DTYPE_F32);
    fputs("unset multiplot\n", plot);
}

void numerics_table_free(NumericsTable *table) {
    free(table->points);
    table->points = NULL;
}
