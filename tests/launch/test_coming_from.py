#!/usr/bin/env python3
"""docs/coming_from.md: its settings are accepted as written, those of nanoGPT are
configs/nanogpt.yaml, and each option of the other programs is refused with what stands beside it.
sanitizers: no"""

import ctypes
import os
import re
import shlex

from e2e import BUILD, WORK, check, equal, main, run

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
    """The options in a cell: nanoGPT's `name = value` as --name=value, `-b` of `-b 64`."""
    for text in cell:
        name, _, value = re.split(r"( = | |$)", text, maxsplit=1)
        if text.startswith(LAUNCHERS):
            continue
        yield name if name[0] == "-" else "--%s=%s" % (name, value or "x")


def advice_of(library, option):
    """What launch/config/other_programs.h makes of an option; empty for an unknown one."""
    out = ctypes.create_string_buffer(256)
    return out.value.decode() if library.option_translate(option.encode(), out, 256) else ""


def is_answered(library, option, keys):
    """Whether the advice has one of the keys, and the value of the option if it was given."""
    advice = advice_of(library, option)
    has_value = not ("=" in option and advice.endswith("=VALUE"))
    return has_value and any(key in advice for key in keys)


def each_option_is_answered():
    library = ctypes.CDLL(os.path.join(BUILD, "libhourglass.so"))
    library.option_translate.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
    library.option_translate.restype = ctypes.c_bool
    wanted = [(option, [setting.split("=")[0] for setting in cells])
              for title in ("nanoGPT", "llm.c", "Hugging Face") for left, cells in rows(title)
              for option in options(left)]
    check(len(wanted) > 90, "only %d options" % len(wanted))
    with_keys = [(option, keys) for option, keys in wanted if keys]
    check(len(with_keys) > 75, "only %d options that are keys" % len(with_keys))
    equal([pair for pair in with_keys if not is_answered(library, *pair)], [], "not answered")
    with open("launch/config/other_programs.c", encoding="utf-8") as file:
        known = set(re.findall(r'(?m)^    \{"(-[^"]+)"', file.read()))
    equal(sorted(known - {option.split("=")[0] for option, _ in wanted}), [], "not on the page")
    done = run("train", "x.yaml", "--batch_size=12")
    equal((done.code, done.err), (64, "train: error: unknown option '--batch_size=12'; "
                                  "use data.batch_size=12\n"), "the error")


if __name__ == "__main__":
    main(nanogpt_is_its_config, llm_c_has_its_settings, hugging_face_has_its_settings,
         each_option_is_answered)
