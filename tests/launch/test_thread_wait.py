#!/usr/bin/env python3
"""How OpenMP's threads wait: every program that computes sets it, once, and respects the user's
choice."""

import re

from e2e import ENVIRONMENT, check, config, corpus, equal, main, run, start

PROGRAMS = ("train", "evaluate", "generate", "bench")
CHOSEN = "500"


def spins(*arguments, ranks=0, **environment):
    """The settings that libgomp reports at each start of the program."""
    done = run(*arguments, ranks=ranks, OMP_DISPLAY_ENV="verbose", **environment)
    equal(done.code, 0, repr(done))
    return re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.err)


def every_program_chooses_once():
    for program in PROGRAMS:
        said = spins(program, "--version")
        check(len(said) == 2 and said[1] == CHOSEN, "%s: %s" % (program, said))


def ranks_choose_too():
    said = spins("train", "--version", ranks=2)
    equal(sorted(said)[-2:] if len(said) == 4 else said, [CHOSEN] * 2, "two ranks")


def the_users_choice_stays():
    equal(spins("train", "--version", GOMP_SPINCOUNT="77"), ["77"], "a count")
    equal(len(spins("train", "--version", OMP_WAIT_POLICY="active")), 1, "a policy")


def a_run_is_called_as_it_was():
    """Name, arguments and process are those that it was started with."""
    corpus()
    job = start(["train", config("called", training__stop__steps=1000000, threads=2)])
    job.wait_for(r"step 1/")
    with open("/proc/%d/comm" % job.process.pid) as name, open("/proc/%d/cmdline" %
                                                               job.process.pid) as line:
        equal(name.read(), "train\n", "its name")
        equal(line.read().rstrip("\0").split("\0"), job.process.args, "its arguments")
    job.send(15)
    equal(job.end().code, 75, "exit code")


if __name__ == "__main__":
    for chosen in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        ENVIRONMENT.pop(chosen, None)
    main(every_program_chooses_once, ranks_choose_too, the_users_choice_stays,
         a_run_is_called_as_it_was)
