#!/usr/bin/env python3
"""The pages of the documentation: each command is run here or by a named test, or is marked with
what it needs; options and keys exist; configs load; tables of fields are those of a run.
tests/style/test_site.py builds them as a site.

sanitizers: no
"""

import functools
import glob
import json
import os
import re
import shutil
import subprocess
import sys

import page_commands
from e2e import (ENVIRONMENT, PROGRAMS, WORK, Skip, check, content, corpus, equal, main, metrics,
                 run, summary, text)

sys.dont_write_bytecode = True
sys.path.insert(0, "scripts/scons")
from release import PROGRAMS as NAMES  # noqa: E402

PAGES = ["README.md", "CONTRIBUTING.md", "packaging/README.md", *sorted(glob.glob("docs/*.md"))]
RUN_ELSEWHERE = {"docs/datasets.md": "tests/data/test_prepare_inputs.py"}
# Options of other programs, in the text of the pages.
FOREIGN = ("bind-to", "cpu-bind", "mca", "mpi", "open-mode", "oversubscribe", "quiet", "shm-size",
           "requeue", "signal", "all", "record", "NAME")
ENDINGS = (".c", ".json", ".yaml", ".md", ".h5", ".bin", ".safetensors", ".py")
RETIRED = ("evaluation.batches", )
# A model that trains within a second, for every config that the pages tell the reader to write.
SMALL = json.dumps({
    "device": "cpu", "threads": 1,
    "model": {"n_layer": 1, "n_head": 2, "n_embd": 32, "block_size": 32},
    "training": {"stop": {"steps": 4}},
    "evaluation": {"interval": 2, "tokens": 256, "sample": 8},
    "logging": {"interval": 1}
})[1:-1]
BASE = '{%s, "data": {"train": "datasets/bible/train.h5", "val": "datasets/bible/val.h5", ' \
    '"batch_size": 2}}\n' % SMALL


def page(path):
    return content(path).decode()


def prose(path):
    """A page without its blocks of code."""
    return re.sub(r"(?ms)^```.*?^```$", "", page(path))


@functools.lru_cache
def tables():
    return {name: json.loads(run(name, "--help=json").out) for name in NAMES}


def write(path, words):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(words)


# ---- what the pages say --------------------------------------------------------------------------


def each_block_has_a_language():
    wrong = ["%s:%d: a block of '%s'" % (path, line, language)
             for path in PAGES for line, language, _ in page_commands.blocks(page(path))
             if language not in page_commands.LANGUAGES]
    wrong += ["%s: an indented command: %s" % (path, line) for path in PAGES
              for line in re.findall(r"(?m)^ {4,}(\./\w+ .*|mpirun .*)$", prose(path))]
    wrong += ["%s:%d: a command in a block of text: %s" % (path, line, command)
              for path in PAGES for line, language, words in page_commands.blocks(page(path))
              if language == "text" for command in re.findall(r"(?m)^\./\w+ [^\[\n]*$", words)]
    equal(wrong, [])


def options_and_keys_exist():
    known = page_commands.Tables(tables())
    wrong = ["%s:%d: %s: %s" % (path, line, command, text)
             for path in PAGES for line, language, words in page_commands.blocks(page(path))
             for command in page_commands.commands(language, words)
             for text in known.wrong(command)]
    wrong += ["%s: %s: %s" % (path, command, text) for path in PAGES
              for command in re.findall(r"`(\./[^`]+|mpirun [^`]+)`", prose(path))
              for text in known.wrong(command)]
    equal(wrong, [])


def names_in_the_text_exist():
    known = page_commands.Tables(tables())
    options = {name for table in known.options.values() for name in table} | set(FOREIGN)
    groups = {key.split(".")[0] for key in known.keys if "." in key}
    wrong = []
    for path in PAGES:
        for name in re.findall(r"`--([A-Za-z][\w-]*)[^`]*`", prose(path)):
            if path != "docs/coming_from.md" and name not in options | {"help", "version"}:
                wrong.append("%s: no program has --%s" % (path, name))
        for key in re.findall(r"`(%s)(?:[:=][^`]*)?`" % page_commands.KEY, prose(path)):
            if key.split(".")[0] in groups and "." in key and not key.endswith(ENDINGS) and \
                    key not in RETIRED and not known.is_key(key):
                wrong.append("%s: there is no key %s" % (path, key))
    equal(wrong, [])


def config_commands():
    """(path, command) of each command in the first comment of a config."""
    for path in sorted(glob.glob("configs/*.yaml")):
        comment = re.sub(r"\\\n# *", "", page(path))
        for command in re.findall(r"(?m)^# {2,}((?:mpirun .*|)\./.*?)(?:  .*)?$", comment):
            yield path, command


def commands_in_configs_exist():
    known = page_commands.Tables(tables())
    wrong = []
    for path, command in config_commands():
        wrong += ["%s: %s: %s" % (path, command, text) for text in known.wrong(command)]
        named = re.findall(r"configs/\w+\.yaml", command)
        equal(named, [path] * len(named), command)
    equal(wrong, [])


def lint_finds_mistakes():
    known = page_commands.Tables(tables())
    for command, text in (("./train x.yaml --plam", "no option --plam"),
                          ("mpirun -np 2 ./train x.yaml data.batchsize=3", "no key data.batchsize"),
                          ("./train x.yaml --plan=yes", "takes no value"),
                          ("./generate x --top-k", "requires a value"),
                          ("zcat x | ./prepare - --format=hdf", "is one of"),
                          ("A=1 ./sweep x.yaml model.nlayer=1 # comment", "no key model.nlayer")):
        check(text in " ".join(known.wrong(command)), "%s: %r" % (command, known.wrong(command)))
    equal(known.wrong("./bench step data.batch_size=4 --repeats=3 > --nonsense # --x"), [])


# ---- what the commands do ------------------------------------------------------------------------


def sandbox(path):
    """A folder with what the commands of a page or of configs expect."""
    folder = os.path.join(WORK, "pages", os.path.basename(path))
    os.makedirs(folder)
    for name in NAMES:
        os.symlink(os.path.abspath(os.path.join(PROGRAMS, name)), os.path.join(folder, name))
    for name in ("scripts", "examples", "tests"):
        os.symlink(os.path.abspath(name), os.path.join(folder, name))
    shutil.copytree("configs", folder + "/configs")
    os.makedirs(folder + "/datasets/other")
    os.symlink(corpus(), folder + "/datasets/bible")
    for name in ("datasets/other/val.h5", "other.h5"):
        os.symlink(corpus() + "/val.h5", os.path.join(folder, name))
    for name in ("configs/quickstart.yaml", "config.yaml"):
        write(os.path.join(folder, name), BASE)
    write(folder + "/book.txt", text(20000))
    for i in range(40):
        write("%s/notes/%d.md" % (folder, i), text(500, i))
    write(folder + "/prompt.txt", "the sand")
    write(folder + "/questions.jsonl",
          '{"context": "The sand runs", "choices": [" down", " up"], "answer": 0}\n' * 3)
    shown = page(path) if path in PAGES else ""
    for name, words in re.findall(r"`(\w+\.yaml)`:\n\n```yaml\n(.*?)^```$", shown,
                                  re.DOTALL | re.MULTILINE):
        write("%s/shown_%s" % (folder, name), words)
        write(os.path.join(folder, name), '{"extends": "shown_%s", %s}\n' % (name, SMALL))
    return folder


def add_run(folder, name):
    equal(execute("./train config.yaml output=runs/" + name, folder), None, "a run for the page")


def execute(command, folder):
    """A command of a page, with fewer steps; what it says, if it fails."""
    short = re.sub(r"(stop\.steps)=\d+", r"\1=6", command)
    vocabulary = os.environ.get("HOURGLASS_VOCAB", os.path.abspath("build/vocab"))
    if "tokenizer=gpt2" in command and not os.path.exists(vocabulary):
        return None
    done = subprocess.run(["bash", "-c", short], cwd=folder, capture_output=True, text=True,
                          errors="replace", timeout=120,
                          env=dict(ENVIRONMENT, HOURGLASS_VOCAB=vocabulary))
    return "%s: exit %d\n%s" % (command, done.returncode,
                                done.stderr[-500:]) if done.returncode else None


def unmarked(path):
    """The commands that are to be run."""
    return [command for _, language, words in page_commands.blocks(page(path))
            for command in page_commands.commands(language, words)
            if not page_commands.marker(command)]


def each_command_runs_or_is_marked():
    wrong = []
    for path in PAGES:
        todo = unmarked(path)
        if path in RUN_ELSEWHERE:
            check('"%s"' % path in page(RUN_ELSEWHERE[path]), path + " is not run elsewhere")
            continue
        folder = sandbox(path) if todo else None
        made = set(re.findall(r"(?:train|supervise) (\w+)\.yaml", " ".join(todo)))
        named = set(re.findall(r"runs/(\w+)", " ".join(todo))) - made - {"back"}
        for name in sorted(named) if todo else []:
            add_run(folder, name)
        wrong += filter(None, [execute(command, folder) for command in todo])
    equal(wrong, [])


def configs_plan_as_their_comments_say():
    """Training itself takes GPUs or minutes."""
    folder = sandbox("configs")
    todo = [command for _, command in config_commands()
            if re.search(r"--(plan|dry-run)\b", command)]
    check(len(todo) > 5, "only %d commands" % len(todo))
    equal([wrong for wrong in (execute(command, folder) for command in todo) if wrong], [])


def scripts_are_scripts():
    """Blocks of bash have a marker in a line of their own, and no mistakes of syntax."""
    for path in PAGES:
        for line, language, words in page_commands.blocks(page(path)):
            if language != "bash":
                continue
            check(any(page_commands.marker(command) for command in words.splitlines()),
                  "%s:%d: a script without a marker" % (path, line))
            done = subprocess.run(["bash", "-n"], input=words, capture_output=True, text=True)
            equal((done.returncode, done.stderr), (0, ""), "%s:%d" % (path, line))


def configs_load():
    folder = os.path.join(WORK, "configs")
    for path in PAGES:
        for line, language, words in page_commands.blocks(page(path)):
            if language != "yaml":
                continue
            for name in ("base", "book"):
                write(folder + "/%s.yaml" % name, BASE.replace(
                    '{"steps": 4}', "{}" if "stop:" in words else '{"steps": 1000}'))
            write(folder + "/case.yaml",
                  words if "extends:" in words else "extends: base.yaml\n" + words)
            what = ["sweep", "--dry-run"] if "sweep:" in words else ["train", "--print-config"]
            done = run(what[0], folder + "/case.yaml", what[1])
            equal((done.code, done.errors()), (0, []), "%s:%d" % (path, line))


# ---- tables ------------------------------------------------------------------------------------


def fields(title):
    """The fields in the first column of the table below a title of docs/metrics.md."""
    part = next(part for part in re.split(r"(?m)^## ", page("docs/metrics.md"))
                if part.startswith(title))
    cells = re.findall(r"(?m)^\| (`.*?) \|", part)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def a_run_has_the_documented_fields():
    folder = os.path.join(WORK, "fields")
    os.makedirs(folder)
    path = os.path.join(folder, "fields.yaml")
    write(path, BASE.replace("datasets/bible", corpus()))
    done = run("train", path, "output=" + folder + "/run")
    equal(done.code, 0, repr(done))
    listed = fields("metrics.jsonl")
    header = page(folder + "/run/metrics.csv").splitlines()[0].split(",")
    equal([name for name in listed if name != "fp8_saturated"], header, "columns")
    found = {key for record in metrics(folder + "/run") for key in record}
    missing = {"mfu", "joules", "tok_per_joule", "fp8_saturated", "noise_scale"}
    equal(sorted(found - set(listed)), [], "fields without a row")
    equal(sorted(set(listed) - found - missing), [], "rows without a field")
    listed, found = set(fields("summary.json")), set(summary(folder + "/run"))
    equal(sorted(found - listed), [], "fields without a row")
    equal(sorted(listed - found - missing - {"outcome"}), [], "rows without a field")


def pandas_reads_the_metrics():
    sys.path.insert(0, os.path.abspath("build/python"))
    try:
        import pandas
    except ImportError as missing:
        raise Skip("the package pandas is not in build/python: %s" % missing)
    folder = sandbox("docs/metrics.md")
    add_run(folder, "quickstart")
    code = next(words for _, language, words in page_commands.blocks(page("docs/metrics.md"))
                if language == "python")
    shown = []
    os.chdir(folder)
    try:
        exec(code, {"print": shown.append})
    finally:
        os.chdir(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    wanted = [[record[key] for key in ("step", "val/loss", "train_s")]
              for record in metrics(folder + "/runs/quickstart") if "val/loss" in record]
    check(len(wanted) == 2 and abs(shown[0].to_numpy() - wanted).max() < 1e-9, "%s" % shown)


if __name__ == "__main__":
    main(each_block_has_a_language, options_and_keys_exist, names_in_the_text_exist,
         commands_in_configs_exist, lint_finds_mistakes, each_command_runs_or_is_marked,
         configs_plan_as_their_comments_say, scripts_are_scripts, configs_load,
         a_run_has_the_documented_fields, pandas_reads_the_metrics)
