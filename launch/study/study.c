#include "launch/study/study.h"

#include "core/base/escape.h"
#include "launch/config/config_load.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

Status study_point_place(Study *study, StudyPoint *point, const char *name) {
    point->name = arena_strdup(&study->arena, name);
    point->directory = arena_printf(&study->arena, "%s/%s", study->directory, name);
    return point->name == NULL || point->directory == NULL ? OUT_OF_MEMORY("the study") : OK;
}

Status study_point_rename(Study *study, StudyPoint *point, const char *name) {
    Config *config = point->config;
    TRY(study_point_place(study, point, name));
    config->name = arena_strdup(&config->arena, name);
    config->output = arena_strdup(&config->arena, point->directory);
    return config->name == NULL || config->output == NULL ? OUT_OF_MEMORY("the study") : OK;
}

void study_close(Study **study) {
    if (*study == NULL) return;
    run_directory_release(&(*study)->place); /* before the config, which owns its path */
    for (int i = 0; i < (*study)->count; i++) config_destroy(&(*study)->points[i].config);
    config_base_destroy(&(*study)->base);
    sweep_points_destroy(&(*study)->sweep);
    config_destroy(&(*study)->config);
    arena_free(&(*study)->arena);
    free(*study);
    *study = NULL;
}

bool study_exists(const Study *study) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/study.yaml", study->directory);
    return access(path, F_OK) == 0;
}

void study_say_former(const Study *study, FILE *file) {
    if (study->n_former == 0) return;
    fputs("no longer in the sweep, kept unchanged:", file);
    for (int i = 0; i < study->n_former; i++) {
        fputs(i == 0 ? " " : ", ", file);
        escape_print(file, study->former[i]);
    }
    fputc('\n', file);
}

void study_refresh(Study *study) {
    for (int i = 0; i < study->count; i++) point_refresh(&study->points[i]);
}

int study_count(const Study *study, PointState state) {
    int count = 0;
    for (int i = 0; i < study->count; i++) count += study->points[i].status.state == state;
    return count;
}
