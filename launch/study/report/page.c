#include "launch/study/report/page.h"

#include "core/base/names.h"
#include "launch/base/options.h"
#include "launch/base/text_file.h"
#include "launch/study/report/facts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light "
    "dark;--ink:#1c1e21;--soft:#5b6067;--line:#dcdfe3;--paper:#ffffff;--band:#f5f6f8}\n"
    "@media "
    "(prefers-color-scheme:dark){:root{--ink:#e4e6e9;--soft:#a0a6ad;--line:#3a3f45;--paper:#17191c;"
    "--band:#202327}\n"
    "figure svg{filter:invert(.9) hue-rotate(180deg)}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:76rem;padding:1.5rem clamp(.8rem,3vw,2.5rem) "
    "4rem;background:var(--paper);color:var(--ink);"
    "font:16px/1.5 system-ui,sans-serif}\n"
    "h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0}h2{font-size:1.2rem;margin:2.5rem 0 "
    ".8rem}\n"
    "h1,h2,summary,figcaption{overflow-wrap:anywhere}\n"
    "p.soft,figcaption{color:var(--soft);margin:.2rem 0}figcaption{font-size:.85rem;padding:0 "
    ".6rem .4rem}\n"
    "p.answer{font-size:1.25rem;line-height:1.45;margin:.8rem 0;max-width:52rem}\n"
    "ul.more{margin:.4rem 0;padding-left:1.2rem;max-width:56rem}\n"
    "p.missing{border-left:4px solid #d55e00;padding:.4rem .8rem;background:var(--band)}\n"
    ".wide{overflow-x:auto;border:1px solid var(--line);border-radius:6px}\n"
    "table{border-collapse:collapse;width:100%;font-size:.88rem}\n"
    "th,td{padding:.35rem .55rem;text-align:left;white-space:nowrap;border-bottom:1px solid "
    "var(--line);max-width:26rem;"
    "overflow:hidden;text-overflow:ellipsis}\n"
    "th{background:var(--band);font-weight:600}tbody tr:last-child td{border-bottom:0}\n"
    "td.remark{color:#b34700;white-space:normal;min-width:10rem}\n"
    "td.message{white-space:normal;min-width:16rem}\n"
    ".number{text-align:right;font-variant-numeric:tabular-nums}\n"
    ".state{padding:.05rem .5rem;border-radius:1rem;border:1px solid "
    "currentColor;font-size:.8rem;color:var(--soft)}\n"
    ".state.done{color:#00805c}.state.failed{color:#c8501a}.state.oom{color:#b0568a}.state.running{"
    "color:#0072b2}\n"
    "@media "
    "(prefers-color-scheme:dark){.state.done{color:#3fc79a}.state.failed{color:#f08a52}.state.oom{"
    "color:#e39cc5}"
    ".state.running{color:#56b4e9}td.remark{color:#f0a060}}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,34rem),1fr));gap:"
    "1rem}\n"
    "figure{margin:0;border:1px solid var(--line);border-radius:6px;overflow:hidden}\n"
    "figure svg{display:block;width:100%;height:auto;margin:0 0 .3rem}.charts "
    "figure:first-child{grid-column:1/-1}.charts figure:first-child svg{max-height:36rem}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem "
    "1rem}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\n"
    "details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0;padding:.4rem "
    ".8rem}summary{cursor:pointer}\n"
    "pre{overflow-x:auto;font-size:.82rem;line-height:1.4;margin:.6rem 0}\n"
    ".wide:focus-visible,pre:focus-visible,summary:focus-visible{outline:3px solid #0072b2;"
    "outline-offset:2px}\n"
    "@media(max-width:40rem){h1{font-size:1.4rem}p.answer{font-size:1.1rem}.charts{gap:.6rem}}\n"
    "@media print{body{max-width:none;padding:0}figure,tr,p.answer{break-inside:avoid}"
    ".wide{overflow:visible;border:0}table{font-size:.7rem}th,td{white-space:normal;padding:.2rem}"
    "}\n";

/* ---- the head -------------------------------------------------------------------------------- */

static void states_put(const Results *s, const char *noun, FILE *file) {
    static const char *const states[] = {"done",    "running", "interrupted",  "waiting",
                                         "stopped", "failed",  "does not fit", "oom"};
    fprintf(file, "<p class=\"soft\">%zu %s%s", s->n_points, noun, s->n_points == 1 ? "" : "s");
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        size_t count = 0;
        for (size_t k = 0; k < s->n_points; k++) count += point_is(&s->points[k], states[i]);
        bool is_oom = strcmp(states[i], "oom") == 0;
        if (count > 0) fprintf(file, ", %zu %s", count, is_oom ? "that did not fit" : states[i]);
    }
    fputs(".", file);
    if (*s->budget != 0) fprintf(file, " Each may take %s.", s->budget);
    fputs("</p>\n", file);
}

/* The answer comes first; everything below supports it. */
static void answer_put(const Answer *answer, FILE *file) {
    fputs("<p class=\"answer\">", file);
    put_html(file, answer->first);
    fputs("</p>\n", file);
    if (answer->count == 0) return;
    fputs("<ul class=\"more\">\n", file);
    for (size_t i = 0; i < answer->count; i++) {
        fputs("<li>", file);
        put_html(file, answer->more[i]);
        fputs("</li>\n", file);
    }
    fputs("</ul>\n", file);
}

static void head_put(const Results *s, const PageParts *parts, FILE *file) {
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
          file);
    if (parts->reload_s > 0)
        fprintf(file, "<meta http-equiv=\"refresh\" content=\"%d\">\n", parts->reload_s);
    fputs("<title>", file);
    put_html(file, s->name);
    fprintf(file, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>", style);
    put_html(file, s->name);
    fputs("</h1>\n", file);
    states_put(s, parts->answer == NULL ? "run" : "point", file);
}

/* ---- charts ---------------------------------------------------------------------------------- */

/* Embeds an SVG file from its root element on, with unique ids per chart. */
static void svg_put(FILE *file, const char *svg, const char *name, const char *caption) {
    const char *at = strstr(svg, "<svg");
    if (at == NULL) return;
    fputs("<svg role=\"img\" aria-label=\"", file);
    put_html(file, caption);
    fputc('"', file);
    static const char *const marks[] = {"id='", "id=\"", "href='#", "href=\"#", "url(#"};
    for (at += 4; *at != 0;) {
        size_t length = 0;
        for (size_t i = 0; i < sizeof marks / sizeof *marks && length == 0; i++) {
            if (strncmp(at, marks[i], strlen(marks[i])) == 0) length = strlen(marks[i]);
        }
        fwrite(at, 1, length == 0 ? 1 : length, file);
        if (length > 0) fprintf(file, "%s_", name);
        at += length == 0 ? 1 : length;
    }
}

static void charts_put(Results *s, const Charts *charts, const char *directory, const char *missing,
                       FILE *file) {
    fputs("<h2>Charts</h2>\n", file);
    if (*missing != 0)
        fputs("<p class=\"missing\">", file), put_html(file, missing), fputs("</p>\n", file);
    if (*missing == 0 && charts->count == 0)
        fputs("<p class=\"soft\">No run has logged anything yet.</p>\n", file);
    if (*missing != 0 || charts->count == 0) return;
    fputs("<div class=\"charts\">\n", file);
    for (int i = 0; i < charts->count; i++) {
        const ChartInfo *chart = &charts->items[i];
        const char *path = arena_printf(&s->arena, "%s/%s.svg", directory, chart->name);
        const char *svg = NULL;
        if (path == NULL || failed(text_file_read(&s->arena, path, &svg)) || svg == NULL) continue;
        fputs("<figure>\n", file);
        svg_put(file, svg, chart->name, chart->caption);
        fputs("<figcaption>", file);
        put_html(file, chart->caption);
        fputs("</figcaption>\n</figure>\n", file);
    }
    fputs("</div>\n", file);
}

/* ---- hardware and configs -------------------------------------------------------------------- */

static void distinct_put(Results *s, FILE *file, const char *title, size_t offset) {
    Names seen = {0};
    for (size_t i = 0; i < s->n_points; i++) {
        const char *text =
            *(const char *const *)(const void *)((const char *)&s->points[i] + offset);
        if (*text == 0 || names_find(&seen, text, strlen(text)) != NULL) continue;
        if (seen.root == NULL)
            fprintf(file, "<dt>%s</dt><dd>", title);
        else
            fputs(", ", file);
        put_html(file, text);
        if (names_add(&seen, &s->arena, text) == NULL) break;
    }
    if (seen.root != NULL) fputs("</dd>\n", file);
}

static void ranks_put(const Results *s, FILE *file) {
    ValueRange range = {0};
    for (size_t i = 0; i < s->n_points; i++) range_add(&range, s->points[i].ranks);
    if (range.count == 0) return;
    fprintf(file, "<dt>ranks</dt><dd>%.0f", range.low);
    if (range.high > range.low) fprintf(file, " to %.0f", range.high);
    fputs("</dd>\n", file);
}

static Status runs_put(Results *s, FILE *file) {
    Facts facts;
    TRY(facts_read(s, &facts));
    if (*facts.first != '\0') {
        fputs("<dt>run</dt><dd>", file);
        put_html(file, or_empty(arena_printf(&s->arena, "%s to %s", facts.first, facts.last)));
        fprintf(file,
                "</dd>\n<dt>starts</dt><dd>%zu, of which %zu continued after an "
                "interruption</dd>\n",
                facts.starts, facts.interruptions);
    }
    if (facts.unreadable > 0)
        fprintf(file, "<dt>not counted</dt><dd>%zu runs whose attempts.log cannot be read</dd>\n",
                facts.unreadable);
    fprintf(file, "<dt>report by</dt><dd>Hourglass %s</dd>\n", HOURGLASS_VERSION);
    return OK;
}

/* The study's config is beside sweep.json, so the commands work wherever that is. */
static void commands_put(const Results *s, FILE *file) {
    fputs("<h2>Commands</h2>\n<pre tabindex=\"0\">./sweep STUDY.yaml --local   # the study: "
          "study.yaml below\n./train POINT/config.yaml   # one point alone\n./sweep ",
          file);
    put_html(file, s->directory);
    fputs(" --report   # this page</pre>\n", file);
}

static Status hardware_put(Results *s, FILE *file) {
    fputs("<h2>Hardware and runs</h2>\n<dl>\n", file);
    distinct_put(s, file, "device", offsetof(Point, device));
    distinct_put(s, file, "host", offsetof(Point, host));
    ranks_put(s, file);
    Status status = runs_put(s, file);
    fputs("</dl>\n", file);
    return status;
}

static bool file_put(Results *s, FILE *file, const char *path, const char *title) {
    const char *text = NULL;
    if (path == NULL) return false;
    if (failed(text_file_read(&s->arena, path, &text))) text = status_message();
    if (text == NULL) return false;
    fputs("<details><summary>", file);
    put_html(file, title);
    fputs("</summary><pre tabindex=\"0\">", file);
    put_html(file, text);
    fputs("</pre></details>\n", file);
    return true;
}

/* Shows the config of the study and of the first point; the others differ only in the swept keys,
 * which are in the table. */
static void configs_put(Results *s, FILE *file) {
    fputs("<h2>Configs</h2>\n", file);
    file_put(s, file, arena_printf(&s->arena, "%s/study.yaml", s->directory), "study.yaml");
    for (size_t i = 0; i < s->n_points; i++) {
        const Point *p = &s->points[i];
        const char *path = arena_printf(&s->arena, "%s/config.yaml", p->directory);
        const char *title = arena_printf(&s->arena, "config.yaml of %s, complete", p->name);
        if (file_put(s, file, path, or_empty(title))) return;
    }
}

static Status tables_put(Results *s, FILE *file) {
    ReportTable summary, points;
    TRY(table_summary(s, false, &summary));
    TRY(table_points(s, false, &points));
    const char *title = or_empty(arena_printf(&s->arena, "%s, over seeds", metric_title(s)));
    fputs("<h2>", file);
    put_html(file, title);
    fputs("</h2>\n", file);
    table_html(file, &summary, title);
    fputs("<h2>Points</h2>\n", file);
    table_html(file, &points, "Points");
    return OK;
}

static Status tunings_put(Results *s, const Tunings *tunings, FILE *file) {
    ReportTable table;
    if (tunings->count == 0) return OK;
    const char *key = tunings->items[0].key;
    fprintf(file, "<h2>Tuning%s", key == NULL ? "" : " of ");
    if (key != NULL) put_html(file, key);
    fputs("</h2>\n", file);
    TRY(table_tunings(s, tunings, false, &table));
    table_html(file, &table, "Tuning");
    TRY(table_candidates(s, tunings, false, &table));
    fputs("<details><summary>All candidates</summary>\n", file);
    table_html(file, &table, "Candidates");
    fputs("</details>\n", file);
    return OK;
}

static Status branches_put(Results *s, const Branches *branches, FILE *file) {
    ReportTable table;
    if (branches->count == 0) return OK;
    fputs("<h2>Critical batch</h2>\n", file);
    TRY(table_critical(s, branches, false, &table));
    table_html(file, &table, "Critical batch");
    fputs("<details><summary>All differences of the loss</summary>\n", file);
    TRY(table_differences(s, branches, false, &table));
    table_html(file, &table, "Differences");
    fputs("</details>\n", file);
    return OK;
}

/* What only a study has. */
static Status study_put(Results *s, const PageParts *parts, FILE *file) {
    TRY(branches_put(s, parts->branches, file));
    TRY(tables_put(s, file));
    return tunings_put(s, parts->tunings, file);
}

static Status runs_table_put(Results *s, FILE *file) {
    ReportTable points;
    TRY(table_points(s, false, &points));
    fputs("<h2>Runs</h2>\n", file);
    table_html(file, &points, "Runs");
    return OK;
}

Status page_put(Results *s, const PageParts *parts, const char *directory, FILE *file) {
    bool is_study = parts->answer != NULL;
    head_put(s, parts, file);
    if (is_study) answer_put(parts->answer, file);
    charts_put(s, parts->charts, directory, parts->missing, file);
    TRY(is_study ? study_put(s, parts, file) : runs_table_put(s, file));
    TRY(hardware_put(s, file));
    if (is_study) commands_put(s, file);
    configs_put(s, file);
    fputs("</main>\n</body>\n</html>\n", file);
    return OK;
}

Status page_write(Results *s, const PageParts *parts, const char *directory) {
    Text page;
    TRY(text_open(&page));
    Status status = page_put(s, parts, directory, page.file);
    if (failed(status)) {
        text_drop(&page);
        return status;
    }
    return text_write(&page, directory, "index.html");
}
