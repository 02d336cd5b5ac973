#!/usr/bin/env python3
"""The references of the documentation exist: tests by file and name, links by file and heading, a
row in docs/promises.md for each section of the pages with most promises, and a README in each
folder of sources. (fast lane)

sanitizers: no
"""

import os
import re
import sys

from test_style import ROOT, files, lines_of

PROMISES = "docs/promises.md"
PAGES = ("docs/failures.md", "docs/checkpoints.md", "docs/data.md")
TEST_PATH = r"(?<![\w/])(tests/[\w./-]*\w)"
NAMED = re.compile(r"`%s`: ((?:`\w+`(?:, )?)+)" % TEST_PATH)
MADE = ("tests/gpu/last_run.json",)  # by a run on a GPU
FOLDERS = ("core/", "nn/", "dist/", "data/", "checkpoints/", "launch/")
README_LINES, FOLDER_LINES = 200, 10
PLACEHOLDERS = re.compile(r"/(ROOM|test_NAME)\b")


def text_of(path):
    """A page without its blocks of code."""
    return re.sub(r"(?ms)^```.*?^```$", "", "\n".join(lines_of(path)))


def anchors(path):
    """The headings as a browser of Markdown makes them part of an address."""
    titles = re.findall(r"(?m)^#+ (.*)$", text_of(path))
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


def runs(path, name):
    """Whether a test program has this test and runs it."""
    source = "\n".join(lines_of(path))
    if path.endswith(".py"):
        return bool(re.search(r"(?m)^def %s\(" % name, source)) and len(
            re.findall(r"\b%s\b" % name, source)) > 1
    return "TEST(%s)" % name in source


def tests_are_there(pages):
    wrong = [
        "%s: no such file: %s" % (page, path) for page in pages
        for path in re.findall(TEST_PATH, text_of(page))
        if path not in MADE and not PLACEHOLDERS.search(path) and not os.path.exists(path)
    ]
    return wrong + ["%s: %s has no test %s" % (page, path, name) for page in pages
                    for path, names in NAMED.findall(text_of(page)) if os.path.isfile(path)
                    for name in re.findall(r"\w+", names) if not runs(path, name)]


def links_lead_somewhere(pages):
    wrong = []
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
            path, _, anchor = target.partition("#")
            found = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            if not re.match(r"https?:", target) and \
                    not (os.path.exists(found) and (not anchor or anchor in anchors(found))):
                wrong.append("%s: leads nowhere: %s" % (page, target))
    return wrong


def each_section_has_its_promises(_):
    linked = re.findall(r"\]\((\w+\.md)#([\w-]+)\)", text_of(PROMISES))
    return [
        "%s: no row for '%s' of %s" % (PROMISES, anchor, page) for page in PAGES
        for anchor in anchors(page)
        if (os.path.basename(page), anchor) not in linked and anchor != os.path.basename(page)[:-3]
    ]


def each_promise_has_its_test(_):
    rows = [(number, line) for number, line in enumerate(lines_of(PROMISES), 1)
            if line.startswith("| ")]
    return [
        "%s:%d: a promise without a test" % (PROMISES, number) for number, line in rows
        if not re.match(r"\| promise \|", line) and not re.search(r"\| `%s`[^|]* \|$" %
                                                                  TEST_PATH, line)
    ]


def pages_show_the_code_as_it_is(_):
    """Line by line, but for comments of their own."""
    code = {line.strip() for path in ("nn/layers.c", "nn/layers.h") for line in lines_of(path)}
    wrong = []
    for page in ("README.md", "docs/adding_a_layer.md"):
        shown = re.findall(r"(?ms)^```c$(.*?)^```$", "\n".join(lines_of(page)))
        lines = [line.strip() for line in "\n".join(shown).splitlines() if line.strip()]
        wrong += [page + ": shows no code"] if not lines else []
        wrong += ["%s: not in nn/layers.c: %s" % (page, line) for line in lines
                  if line not in code and not re.match(r"/\*.*\*/$", line)]
    return wrong


def the_readme_is_short(_):
    return ["README.md: %d lines" % len(lines_of("README.md"))] * (
        len(lines_of("README.md")) >= README_LINES)


def each_folder_of_sources_has_a_readme(_):
    """A README of at most ten lines says what the folder has, what it may include and where to
    start."""
    folders = {
        os.path.dirname(path)
        for path in files()
        if path.startswith(FOLDERS) and path.endswith((".c", ".h", ".cu", ".cuh"))
    }
    wrong = ["%s: no README.md" % folder for folder in sorted(folders | {"tests"})
             if not os.path.isfile(folder + "/README.md")]
    return wrong + ["%s/README.md: over %d lines" % (folder, FOLDER_LINES)
                    for folder in sorted(folders) if os.path.isfile(folder + "/README.md")
                    and len(lines_of(folder + "/README.md")) > FOLDER_LINES]


def main():
    os.chdir(ROOT)
    pages = [path for path in files() if path.endswith(".md")]
    n_failed = 0
    checks = (tests_are_there, links_lead_somewhere, each_section_has_its_promises,
              each_promise_has_its_test, pages_show_the_code_as_it_is, the_readme_is_short,
              each_folder_of_sources_has_a_readme)
    for check in checks:
        wrong = check(pages)
        n_failed += bool(wrong)
        print("  docs: %s ... %s" % (check.__name__, "FAILED" if wrong else "ok"))
        print("".join("    %s\n" % line for line in wrong), end="")
    print("%d passed, %d failed, 0 skipped" % (len(checks) - n_failed, n_failed))
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
