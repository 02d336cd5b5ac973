"""Manual pages, completion of shells and the reference page of the options, generated from the
programs' option tables: what each program prints for --help=json."""

import re

PREFIX = "hourglass-"
COMMON = [{"name": name, "value": None, "default": None, "doc": doc, "required": False}
          for name, doc in (("help", "print the options"),
                            ("version", "print the version and how it was built"))]


def installed_names(text, programs):
    """The text with the names of installed programs."""
    return re.sub(r"\./(%s)\b" % "|".join(programs), PREFIX + r"\1", text)


def options(table):
    return table["options"] + COMMON


def choices(option):
    """The values that an option can be completed with."""
    words = (option["value"] or "").split("|")
    return [word for word in words if re.fullmatch(r"[a-z0-9-]+", word)]


def keys(table):
    """The config keys, from the text after the options."""
    return re.findall(r"(?m)^  ([a-z]\w*(?:\.\w+)*) ", table["more"] or "") \
        if table["takes_overrides"] else []


def operands(table):
    """What follows the program's name in its usage line."""
    return " ".join(filter(None, [table["operands"], "[key=value ...]"
                                  if table["takes_overrides"] else "", "[options]"]))


def usage(option):
    return "--" + option["name"] + ("=" + option["value"] if option["value"] else "")


# ---- manual pages --------------------------------------------------------------------------------


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\`")
    return re.sub(r"(?m)^\.", r"\\&.", text)


def man_option(option):
    notes = " (%s)" % option["default"] if option["default"] else ""
    notes += " (required)" if option["required"] else ""
    return ".TP\n.B %s\n%s\n" % (roff(usage(option)), roff(option["doc"] + notes))


def man_page(table, version, programs):
    name = PREFIX + table["name"]
    purpose = installed_names(table["purpose"], programs)
    summary = purpose.split(": ")[0].rstrip(".")
    others = [".BR %s (1)" % roff(PREFIX + other) for other in programs if other != table["name"]]
    parts = [
        '.TH %s 1 "" "Hourglass %s" "Hourglass"' % (name.upper().replace("-", "\\-"), version),
        ".SH NAME", "%s \\- %s" % (roff(name), roff(summary[0].lower() + summary[1:])),
        ".SH SYNOPSIS", ".B %s\n%s" % (roff(name), roff(operands(table))), ".SH DESCRIPTION",
        roff(purpose)
    ]
    if table["commands"]:
        parts += [".PP", "Commands: " + roff(", ".join(table["commands"]))]
    parts += [".SH OPTIONS", "".join(man_option(option) for option in options(table)).rstrip()]
    if table["more"]:
        more = installed_names(table["more"], programs).rstrip("\n")
        parts += [".SH NOTES", ".nf", roff(more), ".fi"]
    parts += [
        ".SH EXIT STATUS", "0 done, 1 failure, 64 usage, 65 data, 71 out of memory, 75 stopped "
        "early with a checkpoint, 78 config.", ".SH SEE ALSO", "\n".join(others)
    ]
    return "\n".join(parts) + "\n"


# ---- completion ----------------------------------------------------------------------------------


def bash(table):
    name = PREFIX + table["name"]
    function = "_" + name.replace("-", "_")
    cases = "".join("    %s) words='%s' ;;\n" % ("--" + option["name"], " ".join(choices(option)))
                    for option in options(table) if choices(option))
    flags = " ".join("--" + option["name"] + ("=" if option["value"] else "")
                     for option in options(table))
    others = " ".join((table["commands"] or []) + [key + "=" for key in keys(table)])
    return """# bash completion of %s, generated from its option table
%s() {
  local word=${COMP_WORDS[COMP_CWORD]} option='' words=''
  if [[ $word == = ]]; then
    option=${COMP_WORDS[COMP_CWORD-1]} word=''
  elif [[ ${COMP_WORDS[COMP_CWORD-1]} == = ]]; then
    option=${COMP_WORDS[COMP_CWORD-2]}
  fi
  case $option in
%s    '') [[ $word == -* ]] && words='%s' || words='%s' ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  [[ $word == -* || -n $option && -n $words ]] ||
    mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$word")
  [[ ${COMPREPLY[0]} != *= ]] || compopt -o nospace
}
complete -F %s -o filenames %s
""" % (name, function, cases, flags, others, function, name)


def zsh(table):
    def quoted(text):
        return re.sub(r"([\[\]:\\])", r"\\\1", text).replace("'", "'\\''")

    specs = []
    for option in options(table):
        spec = "--" + option["name"]
        spec += "=" if option["value"] else ""
        spec += "[%s]" % quoted(option["doc"])
        if option["value"]:
            action = "(%s)" % " ".join(choices(option)) if choices(option) else "_files"
            spec += ":%s:%s" % (quoted(option["value"]), action)
        specs.append("'%s'" % spec)
    words = (table["commands"] or []) + [key + "=" for key in keys(table)]
    action = "->words" if words else "_files"
    specs.append("'*:%s:%s'" % (quoted(table["operands"] or "argument"), action))
    name = PREFIX + table["name"]
    state = "" if not words else \
        '[[ $state != words ]] || { compadd -S "" -- %s; _files; }\n' % " ".join(words)
    return "#compdef %s\n# generated from its option table\nlocal state line\n" \
        "typeset -A opt_args\n_arguments \\\n  %s\n%s" % (name, " \\\n  ".join(specs), state)


def fish(table):
    def quoted(text):
        return "'%s'" % text.replace("\\", "\\\\").replace("'", "\\'")

    name = PREFIX + table["name"]
    lines = ["# fish completion of %s, generated from its option table" % name]
    for option in options(table):
        line = "complete -c %s -l %s -d %s" % (name, option["name"], quoted(option["doc"]))
        if choices(option):
            line += " -x -a " + quoted(" ".join(choices(option)))
        elif option["value"]:
            line += " -r"
        lines.append(line)
    words = (table["commands"] or []) + [key + "=" for key in keys(table)]
    if words:
        lines.append("complete -c %s -a %s" % (name, quoted(" ".join(words))))
    return "\n".join(lines) + "\n"


# ---- docs/options.md -----------------------------------------------------------------------------

OPENING = """# Options

Generated from the programs' option tables by `UPDATE_DOCS=1 tests/launch/test_options_page.py`.
Options are `--NAME` and `--NAME=VALUE`; `--` ends them. Every program has `--help` and `--version`.
Where `[key=value ...]` stands, any key of [the config](config.md) can be set.
"""


def cell(text):
    return text.replace("|", r"\|").replace("*", r"\*")


def reference_row(option):
    default = "required" if option["required"] else \
        "`%s`" % option["default"] if option["default"] else ""
    value = (option["value"] or "").replace("|", ", ")
    return "| `--%s` | %s | %s | %s |" % (option["name"], cell(value), default, cell(option["doc"]))


def reference_section(table):
    lines = ["## " + table["name"], "", table["purpose"], "", "```text",
             "./%s %s" % (table["name"], operands(table)), "```", "",
             "| option | value | default | meaning |", "|---|---|---|---|"]
    lines += [reference_row(option) for option in table["options"]]
    if table["more"] and not keys(table):
        lines += ["", "```text", table["more"].strip("\n"), "```"]
    return "\n".join(lines) + "\n"


def reference(tables):
    return "\n".join([OPENING] + [reference_section(table) for table in tables])
