#include "launch/bench/attention_table.h"

#include "launch/bench/bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* FLOP/s in the table: GFLOP/s for CPUs. */
static bool is_slow(const AttentionTable *table) { return table->product_rate < 1e12; }

static const char *dtype_text(const AttentionShape *s) {
    return s->tf32 ? "tf32" : dtype_name(s->dtype);
}

static int mask_width(const AttentionTable *table) {
    return table->mask_width > 13 ? table->mask_width : 13;
}

static const char *layout_text(const AttentionShape *s) {
    return s->layout == BENCH_LAYOUT_PACKED   ? "packed"
           : s->layout == BENCH_LAYOUT_TOKENS ? "tokens"
                                              : "heads";
}

/* The properties that differ from the model's call: ", NH_kv 2, Tk 4096, dropout 0.1, tokens". */
static void extras_text(const AttentionShape *s, char *text, size_t capacity) {
    char NH_kv[32] = "", Tk[32] = "", dropout[40] = "";
    if (s->NH_kv != s->NH) snprintf(NH_kv, sizeof NH_kv, ", NH_kv %lld", (long long)s->NH_kv);
    if (s->Tk > 0) snprintf(Tk, sizeof Tk, ", Tk %lld", (long long)s->Tk);
    if (s->dropout > 0) snprintf(dropout, sizeof dropout, ", dropout %g", s->dropout);
    bool is_packed = s->layout == BENCH_LAYOUT_PACKED;
    snprintf(text, capacity, "%s%s%s%s%s", NH_kv, Tk, dropout, is_packed ? "" : ", ",
             is_packed ? "" : layout_text(s));
}

void attention_table_begin(const AttentionTable *table) {
    const AttentionShape *s = &table->shape;
    FILE *out = table->output->table;
    char extras[128];
    extras_text(s, extras, sizeof extras);
    fprintf(out, "attention on %s: %s, B %lld, NH %lld, HS %lld%s; medians of %lld\n", s->device,
            dtype_text(s), (long long)s->B, (long long)s->NH, (long long)s->HS, extras,
            (long long)s->repeats);
    if (s->is_reduced) {
        fprintf(
            out,
            "a small call for a CPU; the tutorial's is --B=32 --NH=32 --T=1024 --HS=32, in f16\n");
    }
    if (table->product_rate > 0) {
        fprintf(out, "share: of the %.1f %s that a large %s product reaches here\n",
                (is_slow(table) ? 1e-9 : 1e-12) * table->product_rate,
                is_slow(table) ? "GFLOP/s" : "TFLOP/s", dtype_text(s));
    }
    fprintf(out, "spread: of the middle half of the times; MiB: kept for backward, and workspace;\n"
                 "FLOPs: of the keys that a query sees\n");
    fprintf(out, "%6s  %-14s %-*s %11s %11s %7s %9s %9s %7s %7s %9s\n", "T", "backend",
            mask_width(table), "mask", "forward us", "fwd+bwd us", "spread",
            is_slow(table) ? "GFLOP/s" : "TFLOP/s", "fwd+bwd", "share", "fwd+bwd", "MiB");
    fputs("device,dtype,B,NH,T,HS,mask,backend,forward_us,both_us,forward_tflops,both_tflops,"
          "forward_share,both_share,"
          "bytes,refusal,NH_kv,Tk,dropout,layout,forward_low_us,forward_high_us,both_low_us,both_"
          "high_us\n",
          table->output->csv);
    fflush(out);
}

static void row_print(const AttentionTable *table, const AttentionRow *r) {
    FILE *out = table->output->table;
    fprintf(out, "%6lld  %-14s %-*s ", (long long)r->T, r->name, mask_width(table), r->mask);
    if (r->refusal != NULL) {
        fprintf(out, "refused: %s\n", r->refusal);
    } else {
        double forward = r->forward_flops / r->forward.median,
               both = r->both_flops / r->both.median;
        double unit = is_slow(table) ? 1e-9 : 1e-12;
        fprintf(out, "%11.1f %11.1f %6.1f%% %9.1f %9.1f %6.1f%% %6.1f%% %9.1f\n",
                1e6 * r->forward.median, 1e6 * r->both.median,
                fmax(spread_percent(r->forward), spread_percent(r->both)), unit * forward,
                unit * both, 100 * forward / table->product_rate, 100 * both / table->product_rate,
                (double)r->bytes / 0x1p20);
    }
    fflush(out);
}

static void row_csv(const AttentionTable *table, const AttentionRow *r) {
    const AttentionShape *s = &table->shape;
    FILE *csv = table->output->csv;
    csv_put(csv, s->device);
    fprintf(csv, ",%s,%lld,%lld,%lld,%lld,%s,%s,", dtype_text(s), (long long)s->B, (long long)s->NH,
            (long long)r->T, (long long)s->HS, r->mask, r->name);
    if (r->refusal != NULL) {
        fputs(",,,,,,,", csv);
        csv_put(csv, r->refusal);
    } else {
        double forward = r->forward_flops / r->forward.median,
               both = r->both_flops / r->both.median;
        fprintf(csv, "%.3f,%.3f,%.6g,%.6g,%.6g,%.6g,%zu,", 1e6 * r->forward.median,
                1e6 * r->both.median, 1e-12 * forward, 1e-12 * both, forward / table->product_rate,
                both / table->product_rate, r->bytes);
    }
    fprintf(csv, ",%lld,%lld,%g,%s", (long long)s->NH_kv, (long long)(s->Tk > 0 ? s->Tk : r->T),
            s->dropout, layout_text(s));
    if (r->refusal != NULL)
        fputs(",,,,\n", csv);
    else
        fprintf(csv, ",%.3f,%.3f,%.3f,%.3f\n", 1e6 * r->forward.low, 1e6 * r->forward.high,
                1e6 * r->both.low, 1e6 * r->both.high);
}

Status attention_table_add(AttentionTable *table, const AttentionRow *row) {
    if (table->count == table->capacity) {
        int capacity = 2 * table->capacity + 16;
        AttentionRow *rows = realloc(table->rows, (size_t)capacity * sizeof *rows);
        if (rows == NULL) return OUT_OF_MEMORY("a table");
        table->rows = rows;
        table->capacity = capacity;
    }
    table->rows[table->count++] = *row;
    row_print(table, row);
    row_csv(table, row);
    return OK;
}

void attention_table_free(AttentionTable *table) {
    free(table->rows);
    table->rows = NULL;
}

static bool same_line(const AttentionRow *a, const AttentionRow *b) {
    return strcmp(a->name, b->name) == 0 && a->documents == b->documents;
}

static bool starts_line(const AttentionTable *table, int index) {
    for (int i = 0; i < index; i++) {
        if (table->rows[i].refusal == NULL && same_line(&table->rows[i], &table->rows[index]))
            return false;
    }
    return table->rows[index].refusal == NULL;
}

/* The name of a line or a group of bars; with the mask only if there are two. */
static void line_name(const AttentionRow *r, char *name, size_t capacity) {
    snprintf(name, capacity, r->documents > 0 ? "%s, documents" : "%s", r->name);
}

static void bars_plot(const AttentionTable *table, FILE *plot) {
    fputs("$rows << EOD\n", plot);
    for (int i = 0; i < table->count; i++) {
        const AttentionRow *r = &table->rows[i];
        char name[64];
        line_name(r, name, sizeof name);
        if (r->refusal == NULL)
            fprintf(plot, "\"%s\" %.3f %.3f\n", name, 1e6 * r->forward.median,
                    1e6 * r->both.median);
    }
    fputs("EOD\nset style data histograms\nset style fill solid 0.9\nset boxwidth 0.9\nset xtics "
          "nomirror\n"
          "set yrange [0:*]\nset offsets 0,0,graph 0.08,0\n"
          "plot $rows using 2:xtic(1) title 'forward' lc rgb '#56b4e9', '' using 3 title 'forward "
          "and backward' lc rgb "
          "'#0072b2', '' using ($0-0.125):2:(sprintf('%.0f',$2)) with labels offset 0,0.6 notitle, "
          "'' using ($0+0.125):3:(sprintf('%.0f',$3)) with labels offset 0,0.6 notitle\n",
          plot);
}

static void lines_plot(const AttentionTable *table, FILE *plot) {
    for (int i = 0; i < table->count; i++) {
        if (!starts_line(table, i)) continue;
        fprintf(plot, "$line%d << EOD\n", i);
        for (int j = i; j < table->count; j++) {
            const AttentionRow *r = &table->rows[j];
            if (r->refusal == NULL && same_line(&table->rows[i], r)) {
                fprintf(plot, "%lld %.3f\n", (long long)r->T, 1e6 * r->both.median);
            }
        }
        fputs("EOD\n", plot);
    }
    fputs("set logscale x 2\nset logscale y\nset xlabel 'T'\nplot ", plot);
    for (int i = 0, lines = 0; i < table->count; i++) {
        char name[64];
        if (!starts_line(table, i)) continue;
        line_name(&table->rows[i], name, sizeof name);
        /* Dashes keep a line below visible. */
        fprintf(plot, "%s$line%d with linespoints lw 2 dt %d pt 7 ps 0.7 title '%s'",
                lines > 0 ? ", " : "", i, 1 + lines % 2, name);
        lines++;
    }
    fputc('\n', plot);
}

void attention_table_plot(const AttentionTable *table) {
    const AttentionShape *s = &table->shape;
    FILE *plot = table->output->plot;
    bool is_one = true;
    char extras[128];
    for (int i = 1; i < table->count; i++) is_one = is_one && table->rows[i].T == table->rows[0].T;
    extras_text(s, extras, sizeof extras);
    fprintf(plot, "set colorsequence podo\nset border 3\nset tics nomirror\nset grid ytics lc rgb "
                  "'#dddddd'\n");
    fprintf(
        plot,
        "set title \"attention on %s: %s, %s, B %lld, NH %lld, %s%.0lld%sHS %lld%s\" noenhanced\n",
        s->device, dtype_text(s), table->rows[0].mask, (long long)s->B, (long long)s->NH,
        is_one ? "T " : "", is_one ? (long long)table->rows[0].T : 0LL, is_one ? ", " : "",
        (long long)s->HS, extras);
    fputs("set key above noenhanced\nset xtics noenhanced\n", plot);
    fprintf(plot, "set ylabel 'microseconds%s'\n", is_one ? "" : ", forward and backward");
    if (is_one)
        bars_plot(table, plot);
    else
        lines_plot(table, plot);
}
