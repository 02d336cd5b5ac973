/* The only file that uses libyaml. Parsing stops at the first event that exceeds a limit, because
 * libyaml takes quadratic time on deep nesting. */
#include "launch/config/yaml_reader.h"

#include "launch/config/diagnostic.h"
#include "launch/config/yaml_text.h"

#include <string.h>
#include <yaml.h>

typedef struct Reader {
    yaml_parser_t parser;
    Arena *arena;
    const Source *source;
    size_t column_shift; /* characters before the value in `key=VALUE` */
    size_t skip;         /* the same in bytes */
    size_t characters;   /* position in the source */
    int depth, values;
} Reader;

static Place place_at(const Reader *reader, yaml_mark_t start, yaml_mark_t end) {
    size_t shift = start.line == 0 ? reader->column_shift : 0;
    size_t width = end.line == start.line ? end.column - start.column : LINE_END;
    return (Place){reader->source, start.line + 1, start.column + shift + 1, width > 0 ? width : 1};
}

/* Hints for the most common errors of libyaml. */
static const char *hint_for(const char *problem) {
    static const struct {
        const char *problem, *hint;
    } hints[] = {
        {"cannot start any token",
         "; indent with spaces, and quote a value that begins with @, % or `"},
        {"mapping values are not allowed", "; quote a value that holds a colon"},
        {"did not find expected key", "; give the keys of one map the same indentation"},
        {"unexpected end of stream", "; close the quote"},
    };
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        if (strstr(problem, hints[i].problem) != NULL) return hints[i].hint;
    }
    return "";
}

/* `{a: ${b}}`: inside a flow collection YAML treats the second brace as its own. */
static bool is_bare_reference(const Reader *reader, yaml_mark_t mark) {
    const char *text = reader->source->text + reader->skip;
    size_t at = yaml_bytes(text, mark.index);
    return at > 0 && text[at] == '{' && text[at - 1] == '$';
}

/* Reports the position of the problem; for a collection that is never closed, the position of its
 * start instead of the end of the text. */
static Status parser_error(const Reader *reader) {
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR) return OUT_OF_MEMORY("a config");
    const char *problem = parser->problem == NULL ? "not YAML" : parser->problem;
    const char *hint = is_bare_reference(reader, parser->problem_mark)
                           ? "; inside { } and [ ] put quotes around a value with ${...}"
                           : hint_for(problem);
    yaml_mark_t mark = parser->problem_mark, begun = parser->context_mark;
    if (parser->context == NULL)
        return PLACE_ERROR(place_at(reader, mark, mark), "%s%s", problem, hint);
    if (mark.index >= reader->characters) mark = begun;
    Place opened = place_at(reader, begun, begun);
    if (mark.index == begun.index) {
        return PLACE_ERROR(place_at(reader, mark, mark), "%s, %s%s", parser->context, problem,
                           hint);
    }
    return PLACE_ERROR(place_at(reader, mark, mark), "%s begun at %zu:%zu, %s%s", parser->context,
                       opened.line, opened.column, problem, hint);
}

static Status next_event(Reader *reader, yaml_event_t *event) {
    if (!yaml_parser_parse(&reader->parser, event)) return parser_error(reader);
    return OK;
}

static Status check_properties(const Reader *reader, const yaml_event_t *event) {
    Place place = place_at(reader, event->start_mark, event->start_mark);
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor != NULL)
        return PLACE_ERROR(place, "anchors are not allowed; use extends, or ${key} for one value");
    if (tag != NULL) return PLACE_ERROR(place, "tags are not allowed; the key decides the type");
    if (event->type == YAML_ALIAS_EVENT) {
        return PLACE_ERROR(place, "aliases are not allowed; use extends, or ${key} for one value");
    }
    return OK;
}

static Status check_bounds(Reader *reader, const yaml_event_t *event) {
    Place place = place_at(reader, event->start_mark, event->end_mark);
    if (++reader->values > YAML_MAX_VALUES) {
        return PLACE_ERROR(place, "more than %d keys and values; a config holds settings, not data",
                           YAML_MAX_VALUES);
    }
    if (event->type != YAML_SCALAR_EVENT && reader->depth >= YAML_MAX_DEPTH) {
        return PLACE_ERROR(place, "nested deeper than %d levels", YAML_MAX_DEPTH);
    }
    return OK;
}

static Status read_scalar(Reader *reader, const yaml_event_t *event, YamlNode **out) {
    const char *text = (const char *)event->data.scalar.value;
    Place place = place_at(reader, event->start_mark, event->end_mark);
    if (strlen(text) != event->data.scalar.length)
        return PLACE_ERROR(place, "a NUL character in a value");
    YamlNode *node = node_scalar(reader->arena, text, place);
    if (node == NULL) return OUT_OF_MEMORY("a config");
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    *out = node;
    return OK;
}

static Status read_node(Reader *reader, const yaml_event_t *event, YamlNode **out);

/* Reads one list item, or a key and its value, up to the event that ends the collection. */
static Status read_child(Reader *reader, YamlNode *parent, const yaml_event_t *event) {
    YamlNode *child;
    if (parent->kind == NODE_LIST) {
        TRY(read_node(reader, event, &child));
        return node_append(reader->arena, parent, child);
    }
    YamlNode *key;
    Place place = place_at(reader, event->start_mark, event->end_mark);
    TRY(check_properties(reader, event));
    if (event->type != YAML_SCALAR_EVENT)
        return PLACE_ERROR(place, "a key must be a word, not a list or map");
    TRY(read_node(reader, event, &key));
    const YamlNode *first = node_find(parent, key->text);
    if (first != NULL) {
        return PLACE_ERROR(place, "duplicate key '%s'; the first is at %zu:%zu",
                           shown(reader->arena, key->text), first->key_place.line,
                           first->key_place.column);
    }
    yaml_event_t value;
    TRY(next_event(reader, &value));
    Status status = read_node(reader, &value, &child);
    yaml_event_delete(&value);
    TRY(status);
    child->key = key->text;
    child->key_place = key->place;
    return node_append(reader->arena, parent, child);
}

static Status read_collection(Reader *reader, const yaml_event_t *start, NodeKind kind,
                              YamlNode **out) {
    yaml_event_type_t last = kind == NODE_MAP ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
    YamlNode *node =
        node_create(reader->arena, kind, place_at(reader, start->start_mark, start->end_mark));
    if (node == NULL) return OUT_OF_MEMORY("a config");
    reader->depth++;
    for (bool more = true; more;) {
        yaml_event_t event;
        TRY(next_event(reader, &event));
        more = event.type != last;
        Status status = OK;
        if (more) {
            status = read_child(reader, node, &event);
        } else {
            node->place = place_at(reader, start->start_mark, event.end_mark);
        }
        yaml_event_delete(&event);
        TRY(status);
    }
    reader->depth--;
    *out = node;
    return OK;
}

static Status read_node(Reader *reader, const yaml_event_t *event, YamlNode **out) {
    TRY(check_properties(reader, event));
    TRY(check_bounds(reader, event));
    switch (event->type) {
    case YAML_MAPPING_START_EVENT: return read_collection(reader, event, NODE_MAP, out);
    case YAML_SEQUENCE_START_EVENT: return read_collection(reader, event, NODE_LIST, out);
    default: return read_scalar(reader, event, out);
    }
}

/* Reads the stream: at most one document with one root. */
static Status read_stream(Reader *reader, YamlNode **out) {
    int documents = 0;
    for (bool more = true; more;) {
        yaml_event_t event;
        TRY(next_event(reader, &event));
        Status status = OK;
        switch (event.type) {
        case YAML_STREAM_END_EVENT: more = false; break;
        case YAML_DOCUMENT_START_EVENT:
            if (++documents > 1) {
                status = PLACE_ERROR(
                    place_at(reader, event.start_mark, event.end_mark),
                    "a second document; a config is one document, use extends to combine files");
            }
            break;
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT: break;
        default: status = read_node(reader, &event, out);
        }
        yaml_event_delete(&event);
        TRY(status);
    }
    return OK;
}

Status yaml_read(Arena *arena, const Source *source, size_t skip, YamlNode **out) {
    TRY(yaml_check_text(source));
    Reader reader = {.arena = arena,
                     .source = source,
                     .skip = skip,
                     .column_shift = yaml_characters(source->text, skip),
                     .characters = yaml_characters(source->text + skip, source->bytes - skip)};
    YamlNode *root = node_scalar(arena, "", (Place){source, 1, reader.column_shift + 1, 1});
    if (root == NULL || !yaml_parser_initialize(&reader.parser)) return OUT_OF_MEMORY("a config");
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)source->text + skip,
                                 source->bytes - skip);
    Status status = read_stream(&reader, &root);
    yaml_parser_delete(&reader.parser);
    TRY(status);
    *out = root;
    return OK;
}
