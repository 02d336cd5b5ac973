/* prepare: converts text to token files for ./train. */
#include "data/encodings.h"
#include "launch/base/at_load.h"
#include "launch/base/options.h"
#include "launch/base/streams.h"
#include "launch/prepare/preparation.h"

#include <signal.h>
#include <stdio.h>

static const Option options[] = {
    {"out", OPTION_TEXT, offsetof(PrepareOptions, out), "DIR", .required = true,
     .doc = "directory of the train and val files"},
    {"tokenizer", OPTION_TEXT, offsetof(PrepareOptions, tokenizer), "byte|gpt2|FILE", "byte",
     .doc = "FILE: see below"},
    {"special-tokens", OPTION_FLAG, offsetof(PrepareOptions, special_tokens),
     .doc = "read special tokens, such as <|endoftext|>, from the text"},
    {"field", OPTION_TEXT, offsetof(PrepareOptions, field), "NAME", NULL,
     .doc = "the inputs are records (JSON lines, Parquet, Arrow) with their text in this field"},
    {"separator", OPTION_TEXT, offsetof(PrepareOptions, separator), "TEXT", NULL,
     .doc = "text between the documents of a file, with \\n for a newline"},
    {"include", OPTION_TEXT, offsetof(PrepareOptions, include), "'*.txt,*.md'", NULL,
     .doc = "files of a directory to read (default: all, or those of records with --field)"},
    {"files-from", OPTION_TEXT, offsetof(PrepareOptions, files_from), "FILE", NULL,
     .doc = "read the inputs that this file lists, one on a line, first"},
    {"input", OPTION_CHOICE, offsetof(PrepareOptions, input), "auto|text", "auto",
     .doc = "text: read any file as plain text, even if it seems to be something else"},
    {"val-fraction", OPTION_NUMBER, offsetof(PrepareOptions, val_fraction), "0.1", "0.1", .low = 0,
     .high = 0.9, .doc = "fraction of the text or of its documents for validation; 0: none"},
    {"split", OPTION_CHOICE, offsetof(PrepareOptions, split), "auto|end|documents", "auto",
     .doc = "validate on the end of all text, or on documents drawn by the seed"},
    {"shuffle", OPTION_FLAG, offsetof(PrepareOptions, shuffle),
     .doc = "put the documents in an order drawn by the seed"},
    {"seed", OPTION_INT, offsetof(PrepareOptions, seed), "1337", "1337", .low = 0, .high = 1e15,
     .doc = "of the split and the shuffle"},
    {"format", OPTION_CHOICE, offsetof(PrepareOptions, format), "h5|bin|llmc", "h5",
     .doc = "bin: headerless uint16, as nanoGPT's; llmc: as llm.c's"},
    {"shard-tokens", OPTION_INT, offsetof(PrepareOptions, shard_tokens), "100M", NULL, .low = 0,
     .high = 1e15, .doc = "write files of this many tokens, train_000000 and so on (0: one file)"},
};

static void print_notes(FILE *file) {
    fputs(
        "FILE is tokenizer.json, or encoder.json or vocab.json with its merges, or a rank file, or "
        "their directory.\n"
        "Only tokenizer.json holds its pattern. Others have GPT-2's, or that of an encoding: "
        "FILE:NAME, where NAME is\n",
        file);
    fprintf(file, "%s.\n", encoding_names);
    fputs("INPUT is a file, a directory with all below it, or - for standard input; gzip and zstd "
          "are decompressed.\n"
          "Files are read in order, with an end of text between documents. A file is one document, "
          "except with\n"
          "--field or --separator. --split=auto cuts plain text that is named file by file at its "
          "end, at the start\n"
          "of a line; all else is split by document. Memory does not grow with the text. An "
          "existing file that is\n"
          "not a token file of the format is never replaced.\n",
          file);
}

static const CommandLine program = {.name = "prepare",
                                    .purpose = "Makes token files from text.",
                                    .operands = "INPUT...",
                                    .least = 0,
                                    .most = -1,
                                    .options = options,
                                    .option_count = sizeof options / sizeof options[0],
                                    .more = print_notes};

static volatile sig_atomic_t interrupted; /* the number of the signal */

static void on_signal(int number) { interrupted = number; }

/* The first signal lets the program clean up, a second one kills it. Signals that the caller
 * ignores stay so. */
static void signals_take(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction old, action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
        if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
    signal(SIGXFSZ, SIG_IGN); /* a limit on file size becomes a write error */
}

int main(int argc, char **argv) {
    at_load_restore();
    streams_open();
    PrepareOptions values = {0};
    Arguments arguments;
    signals_take();
    Status status = options_parse(&program, argc, argv, &values, &arguments);
    if (!failed(status) && !options_answer(&program, &arguments, &build_info, stdout))
        status = prepare_run(&values, arguments.operands, arguments.operand_count, &interrupted);
    arguments_destroy(&arguments);
    int code = streams_report(program.name, status);
    if (failed(status) && interrupted != 0) raise(interrupted); /* the shell sees the signal */
    return code;
}
