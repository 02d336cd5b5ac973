/* The option table of a program as JSON, for what is generated from it: manual pages, completion of
 * shells. */
#pragma once

#include "launch/base/command_line.h"

/* Writes one object: name, purpose, operands, takes_overrides, commands (strings), options (objects
 * of name, value, type, default, doc, required) and more, the text after the options in --help.
 * Fields that the table lacks are null. */
void options_write_json(const CommandLine *program, FILE *file);
