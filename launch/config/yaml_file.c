#include "launch/config/yaml_file.h"

#include "core/base/file.h"
#include "launch/config/diagnostic.h"
#include "launch/config/yaml_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static Status cannot_read(Place from, const char *path, const char *why) {
    if (from.line == 0) return PLACE_ERROR(from, "cannot read this config: %s", why);
    return PLACE_ERROR(from, "cannot read '%s': %s", path, why);
}

static Status read_all(int file, Arena *arena, const char *path, Place from, Source *source) {
    struct stat facts;
    if (fstat(file, &facts) != 0) return cannot_read(from, path, strerror(errno));
    if (S_ISDIR(facts.st_mode))
        return cannot_read(from, path, "it is a directory; name the YAML file in it");
    if (!S_ISREG(facts.st_mode)) return cannot_read(from, path, "it is not a regular file");
    if (facts.st_size > YAML_MAX_BYTES)
        return cannot_read(from, path, "it is over 1 MiB, too long for a config");
    char *text = arena_alloc(arena, (size_t)facts.st_size + 1);
    if (text == NULL) return OUT_OF_MEMORY("%s", path);
    size_t bytes;
    TRY(file_read_at(file, path, text, (size_t)facts.st_size, 0, &bytes));
    if (bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        bytes -= 3;
    }
    source->text = text;
    source->bytes = bytes;
    return OK;
}

Status yaml_read_file(Arena *arena, const char *path, Place from, YamlNode **out) {
    Source *source = arena_alloc(arena, sizeof *source);
    if (source == NULL) return OUT_OF_MEMORY("%s", path);
    source->origin = arena_strdup(arena, path);
    if (source->origin == NULL) return OUT_OF_MEMORY("%s", path);
    if (from.source == NULL) from = (Place){.source = source};
    /* Do not block on a named pipe without a writer. */
    int file = file_open(path, O_RDONLY | O_NONBLOCK, 0);
    if (file < 0 && file_is_machines(errno))
        return ERROR(STATUS_FAILURE, "%s: cannot open it: %s", path, strerror(errno));
    if (file < 0) return cannot_read(from, path, strerror(errno));
    Status status = read_all(file, arena, path, from, source);
    file_close(file);
    TRY(status);
    return yaml_read(arena, source, 0, out);
}
