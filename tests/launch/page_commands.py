"""The commands on the pages: reads them, and compares their options and keys with the programs'
tables (--help=json).

A command whose last comment ends with one of MARKERS is not run: `# needs a GPU`. Blocks of `sh`
hold commands alone; in `text` a line that begins with `$ ` is a command. A block of `bash` is a
script; a marker in a line of its own covers it."""

import re
import shlex

from e2e import check

MARKERS = ("needs a GPU", "needs 8 GPUs", "needs Slurm", "needs several hosts", "needs the network",
           "needs root", "needs PyTorch", "needs an installation", "needs mkdocs", "needs wandb",
           "needs mlflow", "needs Spack", "needs Apptainer", "takes minutes")
LANGUAGES = ("sh", "bash", "text", "yaml", "json", "c", "python")
KEY = r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)*"


def blocks(text):
    """(line, language, content) of each block of code."""
    for match in re.finditer(r"(?ms)^```(\w*)\n(.*?)^```$", text):
        yield text.count("\n", 0, match.start()) + 1, match[1], match[2]


def joined(content):
    """Its lines, with those that end in a backslash joined."""
    return re.sub(r"\\\n\s*", "", content).splitlines()


def commands(language, content):
    """The commands of a block, with their comments."""
    lines = [line for line in joined(content) if line.strip()]
    if language == "text":
        return [line[2:] for line in lines if line.startswith("$ ")]
    return lines if language == "sh" else []


def marker(command):
    """The marker at the end of a command's comment, or None."""
    return next((word for word in MARKERS if re.search(r"[#;] *%s$" % word, command)), None)


def words(command):
    """The words of a command without its comment."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|;&")
    lexer.whitespace_split = True
    return list(lexer)


def simple_commands(command):
    """The words of each part of a pipeline."""
    part = []
    for word in words(command) + [";"]:
        if set(word) <= set("|;&"):
            if part:
                yield part
            part = []
        else:
            part.append(word)


class Tables:
    """What programs take, from {name: table}."""

    def __init__(self, tables):
        self.tables = tables
        self.options = {name: {option["name"]: option for option in table["options"]}
                        for name, table in tables.items()}
        self.keys = set(re.findall(r"(?m)^  (%s) " % KEY, tables["train"]["more"]))
        check(len(self.keys) > 100, "only %d keys" % len(self.keys))

    def is_key(self, key):
        return key in self.keys or key.startswith("x-") or any(
            known.startswith(key + ".") for known in self.keys)

    def wrong_option(self, program, word):
        name, equals, value = word[2:].partition("=")
        if name in ("help", "version"):
            return None
        option = self.options[program].get(name)
        if option is None:
            return "./%s has no option --%s" % (program, name)
        if bool(equals) != (option["value"] is not None):
            return "--%s of ./%s %s value" % (name, program,
                                              "takes no" if equals else "requires a")
        if option["type"] == "choice" and value.islower() and \
                value not in option["value"].split("|"):
            return "--%s is one of %s, not %s" % (name, option["value"], value)
        return None

    def wrong_word(self, program, word):
        """What is wrong with an argument of a program, or None."""
        if word.startswith("--") and len(word) > 2:
            return self.wrong_option(program, word)
        key = re.match("(%s)=" % KEY, word)
        if key and self.tables[program]["takes_overrides"] and not self.is_key(key[1]):
            return "there is no key %s" % key[1]
        return None

    def wrong(self, command):
        """What is wrong with a command: each unknown option, value and key."""
        found = []
        for part in simple_commands(command):
            program = None
            for word in part:
                name = re.fullmatch(r"(?:\./|hourglass-)(\w+)", word)
                if word in (">", ">>", "<"):
                    break
                if name and name[1] in self.tables:
                    program = name[1]
                elif program:
                    found.append(self.wrong_word(program, word))
        return [text for text in found if text]
