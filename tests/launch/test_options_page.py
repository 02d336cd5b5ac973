#!/usr/bin/env python3
"""docs/options.md is what scripts/scons/pages.py makes of the programs' option tables. With
UPDATE_DOCS=1 it is written first. (fast lane)

sanitizers: no
"""

import json
import os
import sys

from e2e import check, content, main, run

sys.dont_write_bytecode = True
sys.path.insert(0, "scripts/scons")
import pages  # noqa: E402
from release import PROGRAMS  # noqa: E402

PAGE = "docs/options.md"


def it_is_current():
    text = pages.reference([json.loads(run(name, "--help=json").out) for name in PROGRAMS])
    if os.environ.get("UPDATE_DOCS"):
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(text)
    check(text == content(PAGE).decode(), PAGE + " is stale: run this test with UPDATE_DOCS=1")


if __name__ == "__main__":
    main(it_is_current)
