#!/usr/bin/env python3
"""docs/coming_from.md: its settings are accepted as written, and those of nanoGPT are
configs/nanogpt.yaml. sanitizers: no"""

import os
import re
import shlex

from e2e import WORK, check, equal, main, run

PAGE = "docs/coming_from.md"


def settings(title):
    """The overrides in the second column of a section's table."""
    with open(PAGE, encoding="utf-8") as file:
        section = re.split(r"(?m)^## ", file.read())
    rows = [row for part in section if part.startswith(title) for row in part.splitlines()]
    cells = [row.split("|")[2] for row in rows if row.startswith("| `")]
    found = [setting for cell in cells for setting in re.findall(r"`([^`]+)`", cell)]
    check(len(found) > 15, "only %d settings of %s" % (len(found), title))
    return [shlex.split(setting)[0] if "'" in setting else setting for setting in found]


def printed(config, *overrides):
    done = run("train", config, "--print-config", *overrides)
    equal((done.code, done.errors()), (0, []), "exit code and errors")
    return done.out


def nanogpt_is_its_config():
    path = os.path.join(WORK, "nanogpt.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("training: {stop: {steps: 1}}\n")
    equal(printed(path, *settings("nanoGPT")), printed("configs/nanogpt.yaml"), "config")


def llm_c_has_its_settings():
    path = os.path.join(WORK, "llm_c.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("training: {stop: {steps: 1}}\n")
    text = printed(path, *settings("llm.c"))
    for line in ("batch_schedule: [[0, 524288]]", "decay: 100%", "shard_optimizer: true"):
        check(line in text, "no %r in %s" % (line, text))


if __name__ == "__main__":
    main(nanogpt_is_its_config, llm_c_has_its_settings)
