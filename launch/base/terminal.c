#include "launch/base/terminal.h"

#include "core/base/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { INDENT = 4 };

static TerminalSize size_of(int fd) {
    struct winsize size = {0};
    if (!isatty(fd)) return (TerminalSize){0, 0};
    bool knows = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0;
    return knows ? (TerminalSize){size.ws_col, size.ws_row} : (TerminalSize){80, 24};
}

TerminalSize terminal_size(void) {
    char path[64];
    if (getenv("OMPI_COMM_WORLD_RANK") == NULL || !isatty(STDOUT_FILENO))
        return size_of(STDOUT_FILENO);
    snprintf(path, sizeof path, "/proc/%d/fd/1", (int)getppid());
    int launcher = file_open(path, O_WRONLY, 0);
    TerminalSize size = size_of(launcher);
    file_close(launcher);
    return size;
}

TerminalSize terminal_size_of_errors(void) { return size_of(STDERR_FILENO); }

bool terminal_redraws(void) { return getenv("NO_COLOR") == NULL && terminal_size().columns > 0; }

static bool starts_character(char c) { return ((unsigned char)c & 0xc0) != 0x80; }

static int width_of(const char *text, size_t bytes) {
    int width = 0;
    for (size_t i = 0; i < bytes; i++) width += starts_character(text[i]);
    return width;
}

int terminal_width_of(const char *text) { return width_of(text, strlen(text)); }

size_t terminal_cut(const char *text, int columns) {
    size_t bytes = 0;
    for (int width = 0; text[bytes] != '\0'; bytes++) {
        width += starts_character(text[bytes]);
        if (width > columns) break;
    }
    return bytes;
}

/* Bytes of the longest beginning of `text` that ends before a blank and fits; of its first word if
 * none does. */
static size_t part_bytes(const char *text, int columns) {
    size_t end = 0;
    for (size_t i = 1; text[i - 1] != '\0'; i++) {
        if (text[i] != ' ' && text[i] != '\0') continue;
        if (end > 0 && width_of(text, i) > columns) break;
        end = i;
    }
    return end;
}

void terminal_fold(FILE *file, const char *line, int columns) {
    int left = columns;
    while (columns > 2 * INDENT && terminal_width_of(line) > left) {
        size_t bytes = part_bytes(line, left);
        fprintf(file, "%.*s", (int)bytes, line);
        line += bytes + strspn(line + bytes, " ");
        if (*line == '\0') break;
        fprintf(file, "\n%*s", INDENT, "");
        left = columns - INDENT;
    }
    fprintf(file, "%s\n", line);
}
