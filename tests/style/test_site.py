#!/usr/bin/env python3
"""The site of the documentation (`scons docs`): it builds without a warning, its pages load nothing
from elsewhere, each is found from the menu or from another page, and the search knows them.

sanitizers: no
"""

import glob
import json
import os
import re
import subprocess
import sys
import tempfile

from test_style import ROOT

# What makes a browser load something; links that a reader may follow are none.
LOADS = re.compile(r"""<(?:script|img|iframe|source|video|audio|embed|input)\b[^>]*\bsrc\s*=\s*["']?
                       (?:https?:)?//
                       |<link\b[^>]*\bhref\s*=\s*["']?(?:https?:)?//
                       |url\(\s*["']?(?:https?:)?//|@import\s+["']?(?:https?:)?//
                       |(?:fetch|importScripts|Worker)\(\s*["'](?:https?:)?//""", re.X)
FORMATS = (".html", ".css", ".js", ".svg")
BAD = ('<script src="https://x.org/a.js">', "<link rel='x' href=\"//x.org/a.css\">",
       "a{background:url(http://x.org/a.png)}", '<img alt="" src=http://x.org/a.png>')


def files_of(site):
    return [path for path in glob.glob(site + "/**", recursive=True) if path.endswith(FORMATS)]


def text_of(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def loads_are_found(_):
    return ["not found: " + text for text in BAD if not LOADS.search(text)]


def nothing_is_loaded_from_elsewhere(site):
    return ["%s: %s" % (path, match[0]) for path in files_of(site)
            for match in LOADS.finditer(text_of(path))]


def links_of(path):
    text = re.sub(r"<pre>.*?</pre>", "", text_of(path), flags=re.DOTALL)
    for link in re.findall(r'<a\b[^>]*\bhref="([^"#:]+)(?:#[^"]*)?"', text):
        yield os.path.normpath(os.path.join(os.path.dirname(path), link))


def each_page_can_be_reached(site):
    todo, found = [site + "/index.html"], set()
    while todo:
        path = todo.pop()
        if path not in found and path.endswith(".html") and os.path.exists(path):
            found.add(path)
            todo += links_of(path)
    pages = set(glob.glob(site + "/**/*.html", recursive=True)) - {site + "/404.html"}
    return ["no way to " + page for page in sorted(pages - found)]


def the_search_knows_each_page(site):
    with open(site + "/search/search_index.json", encoding="utf-8") as file:
        known = {entry["location"].partition("#")[0] for entry in json.load(file)["docs"]}
    pages = [path[5:-3] + ".html" for path in glob.glob("docs/*.md") if path != "docs/index.md"]
    return ["not in the index: " + page for page in pages if page not in known]


def main():
    os.chdir(ROOT)
    checks = (loads_are_found, nothing_is_loaded_from_elsewhere, each_page_can_be_reached,
              the_search_knows_each_page)
    with tempfile.TemporaryDirectory(prefix="hourglass-site-") as site:
        done = subprocess.run([sys.executable, "scripts/scons/docs_site.py", "--site-dir", site],
                              capture_output=True, text=True)
        if "No module named mkdocs" in done.stderr:
            print("  site: skipped: the package mkdocs is not in build/python")
            print("0 passed, 0 failed, %d skipped" % (1 + len(checks)))
            return 0
        results = [("builds_without_a_warning", [done.stdout + done.stderr]
                    if done.returncode or done.stdout or done.stderr else [])]
        if not done.returncode:
            results += [(check.__name__, check(site)) for check in checks]
    for name, wrong in results:
        print("  site: %s ... %s" % (name, "FAILED" if wrong else "ok"))
        print("".join("    %s\n" % line for line in wrong), end="")
    n_failed = sum(1 for _, wrong in results if wrong)
    print("%d passed, %d failed, 0 skipped" % (len(results) - n_failed, n_failed))
    return 1 if n_failed else 0


if __name__ == "__main__":
    sys.exit(main())
