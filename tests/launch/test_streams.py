#!/usr/bin/env python3
"""Lost, closed and full output streams: no loss without a message, no foreign text as it is.
sanitizers: no"""

import json
import os
import subprocess

from e2e import (ENVIRONMENT, PROGRAMS, WORK, check, config, content, equal, log_of, main, run,
                 run_directory, summary, trained, write)


def into(target, program, *arguments):
    """Runs a program with its standard output redirected by the shell."""
    command = 'exec "$0" "$@" ' + target
    return subprocess.run(["bash", "-c", command,
                           os.path.join(PROGRAMS, program), *arguments], env=ENVIRONMENT, text=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=120)


def lost_output_is_a_failure():
    path = config("lost")
    source = write(os.path.join(WORK, "lost.txt"), "a line of text\n" * 100)
    study = os.path.join(WORK, "lost_study.yaml")
    write(study, json.dumps({"extends": path, "name": "lost_study", "sweep": {"seed": [1, 2]},
                             "output": os.path.join(WORK, "lost_study")}))
    programs = ("train", "prepare", "generate", "sweep", "bench", "convert", "evaluate")
    commands = [(program, option) for program in programs for option in ("--help", "--version")]
    commands += [("train", path, "--print-config"), ("train", path, "--plan"),
                 ("sweep", study, "--dry-run"), ("generate", trained(), "--max-new-tokens=5"),
                 ("bench", "attention", "--T=16", "--B=1", "--repeats=1"), ("evaluate", trained()),
                 ("evaluate", trained(), "--json"),
                 ("prepare", source, "--out=" + os.path.join(WORK, "lost_tokens")),
                 ("convert", trained(), os.path.join(WORK, "lost%d.safetensors"))]
    for i, (target, reason) in enumerate(
        ((">/dev/full", "No space left on device"), (">&-", "Bad file descriptor"))):
        for command in commands:
            done = into(target, *[part.replace("%d", str(i)) for part in command])
            lines = [line for line in done.stderr.splitlines() if "error: " in line]
            check(done.returncode == 1 and len(lines) == 1, "%s %s: %r" % (command, target, done))
            check("standard output: cannot write: " + reason in lines[0],
                  "%s %s: %r" % (command, target, lines))


def a_lost_console_does_not_end_a_run():
    for name, target in (("lost_full", ">/dev/full"), ("lost_closed", ">&-"),
                         ("lost_pipe", "| head -1 >/dev/null; exit ${PIPESTATUS[0]}")):
        path = config(name)
        command = '"$0" "$@" ' + target
        done = subprocess.run(["bash", "-c", command,
                               os.path.join(PROGRAMS, "train"), path], env=ENVIRONMENT, text=True,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=120)
        equal(done.returncode, 0, name + ": " + done.stderr)
        equal(log_of(name).count("the console is lost"), 1, name)
        check("step 10/10" in log_of(name) and summary(run_directory(name))["status"] == "done",
              log_of(name))


def closed_streams_do_not_become_files():
    path = config("closed")
    done = into(">&- 2>&- <&-", "train", path)
    equal(done.returncode, 0, "exit code")
    for name in os.listdir(run_directory("closed")):
        if name.endswith((".json", ".yaml", ".csv")):
            check(b"tok/s" not in content(os.path.join(run_directory("closed"), name)),
                  name + " got the console's lines")


def foreign_text_is_shown_not_done():
    evil = "\x1b]0;title\x07\nforged: error: all is well"
    for arguments in (["train",
                       evil + ".yaml"], ["train", config("evil"),
                                         "--" + evil], ["train",
                                                        config("evil"), evil + "=1"],
                      ["generate", evil], ["convert", evil,
                                           "x.bin"], ["prepare", evil, "--out=" + WORK + "/evil"],
                      ["sweep", evil], ["bench",
                                        evil], ["train",
                                                config("evil"), "--resume=" + evil]):
        done = run(*arguments)
        shown = done.out + done.err
        check(
            done.code != 0 and "\x1b" not in shown and "\nforged" not in shown and
            "\\x1B]0;" in shown, repr(done))
    for arguments in (["prepare", WORK + "/lost.txt", "--out=" + WORK + "/evil\x1b[1mtokens"],
                      ["convert", trained(), WORK + "/evil\x1b[1m.bin"]):
        done = run(*arguments)
        check(done.code == 0 and "\x1b" not in done.out + done.err and "\\x1B[1m" in done.out,
              repr(done))
    os.rename(WORK + "/evil\x1b[1mtokens", WORK + "/evil\u202etokens")
    path = config("evil_data", data__train=WORK + "/evil\u202etokens/train.h5",
                  training__stop__steps=2)
    shown = run("train", path)
    check("\u202e" not in shown.out + shown.err, repr(shown))


if __name__ == "__main__":
    main(lost_output_is_a_failure, a_lost_console_does_not_end_a_run,
         closed_streams_do_not_become_files, foreign_text_is_shown_not_done)
