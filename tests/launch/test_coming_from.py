#!/usr/bin/env python3
"""docs/coming_from.md: its settings are accepted as written, those of nanoGPT are
configs/nanogpt.yaml, and each option of the other programs is refused with what stands beside it.
sanitizers: no"""

import concurrent.futures
import os
import re
import shlex

from e2e import WORK, check, equal, main, run

PAGE = "docs/coming_from.md"
LAUNCHERS = ("torchrun", "accelerate", "sample.py", "ckpt.pt", "-h")


def rows(title):
    """The first two columns of a section's table, as their texts in backticks."""
    with open(PAGE, encoding="utf-8") as file:
        section = next(part for part in re.split(r"(?m)^## ", file.read())
                       if part.startswith(title))
    lines = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    return [[re.findall(r"`([^`]+)`", cell) for cell in line[1:3]] for line in lines]


def settings(title):
    """The overrides in the second column of a section's table."""
    found = [setting for _, cells in rows(title) for setting in cells]
    check(len(found) > 15, "only %d settings of %s" % (len(found), title))
    return [shlex.split(setting)[0] if "'" in setting else setting for setting in found]


def start_from(name):
    path = os.path.join(WORK, name + ".yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write("training: {stop: {steps: 1}}\n")
    return path


def printed(config, *overrides):
    done = run("train", config, "--print-config", *overrides)
    equal((done.code, done.errors()), (0, []), "exit code and errors")
    return done.out


def nanogpt_is_its_config():
    equal(printed(start_from("nanogpt"), *settings("nanoGPT")), printed("configs/nanogpt.yaml"),
          "config")


def has_lines(title, *lines):
    text = printed(start_from("other"), *settings(title))
    for line in lines:
        check(line in text, "no %r in %s" % (line, text))


def llm_c_has_its_settings():
    has_lines("llm.c", "batch_schedule: [[0, 524288]]", "decay: 100%", "shard_optimizer: true")


def hugging_face_has_its_settings():
    has_lines("Hugging Face", "betas: [0.9, 0.999]", "recompute: block")


def options(cell):
    """The options in a cell as one would give them to ./train: nanoGPT's `name = value` as
    --name=value, `-b 64` and `--max_steps 100` as they are."""
    for text in cell:
        name, _, value = re.split(r"( = | |$)", text, maxsplit=1)
        if text.startswith(LAUNCHERS):
            continue
        yield [name, value] if name[0] == "-" else ["--%s=%s" % (name, value or "x")]


def is_answered(option, keys):
    """Whether ./train refuses the option with the keys, and with its value where the setting is the
    key alone."""
    done = run("train", "x.yaml", *option)
    equal(done.code, 64, "exit code of %s" % option)
    advice = done.err.split("; ", 1)[-1].strip()
    if not keys:
        return "did you mean" not in advice
    if option[0].startswith("--") and "=" in option[0] and advice.endswith("=VALUE"):
        return False
    return any(key in advice for key in keys)


def each_option_is_answered():
    wanted = [(option, [setting.split("=")[0] for setting in cells])
              for title in ("nanoGPT", "llm.c", "Hugging Face") for left, cells in rows(title)
              for option in options(left)]
    check(len(wanted) > 90, "only %d options" % len(wanted))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answered = pool.map(lambda pair: is_answered(*pair), wanted)
    equal([pair for pair, good in zip(wanted, answered) if not good], [], "not answered")


if __name__ == "__main__":
    main(nanogpt_is_its_config, llm_c_has_its_settings, hugging_face_has_its_settings,
         each_option_is_answered)
