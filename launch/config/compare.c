/* Whether a saved run may continue under another config. */
#include "launch/config/field.h"

#include <stdlib.h>
#include <string.h>

static bool is_auto(const Field *field, const Config *config) {
    return field->type == FIELD_INT_OR_AUTO &&
           *(const int64_t *)((const char *)config + field->offset) == CONFIG_AUTO;
}

static Status add_difference(const Field *field, const Config *saved, const Config *now, FILE *file,
                             int *count) {
    char *before = field_text(field, saved), *after = field_text(field, now);
    Status status = OK;
    if (before == NULL || after == NULL) {
        status = OUT_OF_MEMORY("a config");
    } else if (strcmp(before, after) != 0) {
        fprintf(file, "%s%s (saved %.200s, now %.200s)", *count == 0 ? "" : ", ", field->path,
                before, after);
        ++*count;
    }
    free(before);
    free(after);
    return status;
}

Status fields_compare(const Config *saved, const Config *now, FieldMayDiffer may_differ,
                      char **differences, int *count) {
    size_t bytes;
    Status status = OK;
    FILE *file = open_memstream(differences, &bytes);
    *count = 0;
    if (file == NULL) return OUT_OF_MEMORY("a config");
    for (size_t i = 0; i < schema_count && !failed(status); i++) {
        if (!may_differ(&schema[i], saved, now))
            status = add_difference(&schema[i], saved, now, file, count);
    }
    if (fclose(file) != 0 && !failed(status)) status = OUT_OF_MEMORY("a config");
    return status;
}

/* An `auto` takes the frozen value, or was written by a study and is not resolved yet. */
static bool may_differ_on_resume(const Field *field, const Config *saved, const Config *now) {
    return field->resume != RESUME_MUST_MATCH || is_auto(field, now) || is_auto(field, saved);
}

Status config_compare_resume(const Config *saved, const Config *now) {
    char *text = NULL;
    int count;
    Status status = fields_compare(saved, now, may_differ_on_resume, &text, &count);
    if (!failed(status) && count > 0) {
        status = ERROR(
            STATUS_CONFIG,
            "the saved run differs in %s; set %s back, or start from scratch with --resume=none "
            "and another output; "
            "lr_scheduler, training.stop, evaluation, logging and checkpoint may change",
            text, count == 1 ? "it" : "them");
    }
    free(text);
    return status;
}

static bool starts_with(const char *path, const char *start) {
    return strncmp(path, start, strlen(start)) == 0;
}

/* The states of the optimizers must be those of the checkpoint; their rates may differ. */
static bool may_differ_on_branch(const Field *field, const Config *saved, const Config *now) {
    static const char *const free_groups[] = {"optimizer.",         "training.batch_schedule",
                                              "training.recompute", "attention.backends",
                                              "attention.pick",     "branch_from"};
    static const char *const states[] = {"optimizer.matrices", "optimizer.groups",
                                         "optimizer.muon.normuon"};
    if (may_differ_on_resume(field, saved, now)) return true;
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        if (strcmp(field->path, states[i]) == 0) return false;
    }
    for (size_t i = 0; i < sizeof free_groups / sizeof *free_groups; i++) {
        if (starts_with(field->path, free_groups[i])) return true;
    }
    return false;
}

Status config_compare_branch(const Config *saved, const Config *now) {
    char *text = NULL;
    int count;
    Status status = fields_compare(saved, now, may_differ_on_branch, &text, &count);
    if (!failed(status) && count > 0) {
        status =
            ERROR(STATUS_CONFIG,
                  "the run to branch from differs in %s; a branch may differ in batches, rates "
                  "of the optimizer, lr_scheduler and training.stop",
                  text);
    }
    free(text);
    return status;
}

/* Keys that affect a run and may change. Paths of data are excluded, because data is identified by
 * its content. */
static bool is_not_told(const Field *field, const Config *saved, const Config *now) {
    static const char *const listed[] = {"lr_scheduler.", "training.stop.", "evaluation.",
                                         "checkpoint.",   "logging.",       "optimizer."};
    if (is_auto(field, now) || is_auto(field, saved)) return true;
    for (size_t i = 0; i < sizeof listed / sizeof listed[0]; i++) {
        if (starts_with(field->path, listed[i])) return false;
    }
    return field->resume != RESUME_GLOBAL_BATCH;
}

Status config_changes(const Config *saved, const Config *now, char **text) {
    int count;
    return fields_compare(saved, now, is_not_told, text, &count);
}
