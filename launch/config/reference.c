/* Generates docs/config.md from the schema. */
#include "launch/config/field.h"
#include "launch/config/yaml_reader.h"
#include "nn/models/families.h"

#include <string.h>

static const char *const opening =
    "# The config\n"
    "\n"
    "Generated from the schema in `launch/config/schema.c`. A test compares the two; to regenerate "
    "the page, run the\n"
    "test program `test_config` with `UPDATE_DOCS=1`.\n"
    "\n"
    "One experiment is one YAML file. `./train CONFIG --print-config` shows it complete, and any "
    "key can be set on the\n"
    "command line as `key=value` with the value in YAML: `attention.backends=[flash] "
    "training.stop.steps=20`.\n"
    "\n"
    "```yaml\n"
    "extends: base.yaml            # a file or a list of files, relative to this one, left to "
    "right\n"
    "name: flash_b39\n"
    "attention: {backends: [flash]}\n"
    "data: {train: datasets/owt/train.h5, val: datasets/owt/val.h5, batch_size: 39}\n"
    "training: {stop: {time: 1h30m}}\n"
    "x-note: keys that start with x- are free for your use\n"
    "```\n"
    "\n"
    "## Rules\n"
    "\n"
    "- **Precedence**: defaults < `extends`, left to right < the file < a sweep's point < the "
    "command line. Maps merge,\n"
    "  lists and single values replace, `null` resets to the default. Of a key that the command "
    "line gives twice, the\n"
    "  last value counts; an empty one is refused.\n"
    "- **The key determines the type**: `6e-4` is a number, `no` a bool only for a key of that "
    "type.\n"
    "- **Counts** accept k, M, G (10k steps). **Bytes** accept B, kB, MB, GB, TB (powers of 1000) "
    "and KiB, MiB, GiB, TiB\n"
    "  (of 1024); a budget may also be a percentage, `90%`. **Durations** are `1h30m`, `45s`, "
    "`500ms`, `2d`.\n"
    "  **Intervals** are a duration (`10m`) or steps (`500`, `500 steps`, `10k`): `m` is minutes, "
    "`M` millions.\n"
    "- **Lengths** of a schedule are steps, tokens (`10M tokens`) or a share of the run (`2%`). "
    "The "
    "run is as long as\n"
    "  `training.stop` says. Under a time limit a share of the steps is that share of the time.\n"
    "- **Schedules** are rows of a start and a value, `[[0, 131k], [30%, 262k]]`: each value "
    "applies "
    "from its start on.\n"
    "  Starts are lengths, all in one unit; the first is 0.\n"
    "- **Interpolation**: `${a.b}` is the value of another key, `${x-mine}` of one of yours, "
    "`${env:NAME}` of the\n"
    "  environment; `$${` stands for a literal `${`. Inside `{...}` and `[...]` YAML requires "
    "quotes: `\"${x-root}/train.h5\"`.\n"
    "- **Limits**: 1 MiB, 16 levels, 10,000 values, 64 files. Unknown and duplicate keys, aliases, "
    "anchors, tags and\n"
    "  second documents are errors; every error names file, line and column, and the exit code is "
    "78.\n"
    "- **Sweeps**: `sweep` as a map of keys to lists is a grid; as a list of maps it gives the "
    "points themselves.\n"
    "  Its keys are dotted: `sweep: {data.batch_size: [12, 24], seed: [1, 2, 3]}` makes six runs.\n"
    "- **Resume**: a run resumes from its checkpoint only if every key marked *must match* is "
    "unchanged or `auto`;\n"
    "  all others may change.\n"
    "\n"
    "## Keys\n"
    "\n";

static void write_row(const Field *field, FILE *file) {
    static const char *const rules[] = {[RESUME_FREE] = "free",
                                        [RESUME_MUST_MATCH] = "must match",
                                        [RESUME_GLOBAL_BATCH] = "same product"};
    fprintf(file, "| `%s` | ", field->path);
    char type[128] = "";
    FILE *text = fmemopen(type, sizeof type, "w");
    if (text != NULL) {
        field_write_type(field, text);
        fclose(text);
    }
    for (const char *c = type; *c != '\0'; c++) fprintf(file, *c == '|' ? ", " : "%c", *c);
    fprintf(file, " | %s%s%s | %s | %s |\n", field->fallback == NULL ? "" : "`",
            field->fallback == NULL ? "" : field->fallback, field->fallback == NULL ? "" : "`",
            rules[field->resume], field->doc);
}

static void write_values(const PresetValue *values, FILE *file) {
    for (const PresetValue *value = values; value->key != NULL; value++)
        fprintf(file, "%s`%s: %s`", value == values ? "" : ", ", value->key, value->value);
}

static void write_presets(FILE *file) {
    fputs("\n## Presets\n\n| preset | values |\n|---|---|\n", file);
    for (int i = 1; model_preset_names[i] != NULL; i++) {
        const ModelFamily *family;
        const ModelPreset *preset = model_preset(model_preset_names[i], &family);
        fprintf(file, "| `%s` | ", preset->name);
        write_values(preset->sizes, file);
        fputs(family->layers->key == NULL ? "" : "; ", file);
        write_values(family->layers, file);
        fputs(" |\n", file);
    }
}

Status config_reference(FILE *file) {
    fputs(opening, file);
    fputs("| key | type | default | on resume | meaning |\n|---|---|---|---|---|\n", file);
    for (size_t i = 0; i < schema_count; i++) write_row(&schema[i], file);
    write_presets(file);
    return ferror(file) ? ERROR(STATUS_FAILURE, "cannot write the reference page") : OK;
}
