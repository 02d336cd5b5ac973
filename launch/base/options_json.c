#include "launch/base/options_json.h"

#include <jansson.h>
#include <stdlib.h>

static json_t *option_json(const Option *option) {
    static const char *const types[] = {[OPTION_FLAG] = "flag",
                                        [OPTION_TEXT] = "text",
                                        [OPTION_CHOICE] = "choice",
                                        [OPTION_INT] = "integer",
                                        [OPTION_NUMBER] = "number"};
    return json_pack("{ss ss? ss ss? ss sb}", "name", option->name, "value", option->value, "type",
                     types[option->type], "default", option->fallback, "doc", option->doc,
                     "required", option->required);
}

static json_t *options_list(const CommandLine *program) {
    json_t *list = json_array();
    for (size_t i = 0; i < program->option_count; i++)
        json_array_append_new(list, option_json(&program->options[i]));
    return list;
}

static json_t *commands_list(const CommandLine *program) {
    if (program->commands == NULL) return json_null();
    json_t *list = json_array();
    for (size_t i = 0; program->commands[i] != NULL; i++)
        json_array_append_new(list, json_string(program->commands[i]));
    return list;
}

static json_t *text_after_options(const CommandLine *program) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = program->more == NULL ? NULL : open_memstream(&text, &bytes);
    if (file == NULL) return json_null();
    program->more(file);
    fclose(file);
    json_t *json = json_string(text);
    free(text);
    return json;
}

void options_write_json(const CommandLine *program, FILE *file) {
    json_t *json = json_pack("{ss ss ss? sb so so so}", "name", program->name, "purpose",
                             program->purpose, "operands", program->operands, "takes_overrides",
                             program->takes_overrides, "commands", commands_list(program),
                             "options", options_list(program), "more", text_after_options(program));
    char *text = json_dumps(json, JSON_INDENT(1));
    if (text != NULL) fprintf(file, "%s\n", text);
    free(text);
    json_decref(json);
}
