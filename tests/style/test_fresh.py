#!/usr/bin/env python3
"""tests/fresh/run with stand-ins for the commands that create and enter a system: its counts, its
skips, and its cleanup.

sanitizers: no
"""

import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "launch"))

from e2e import WORK, check, equal, main  # noqa: E402

PROGRAM = os.path.join(ROOT, "tests", "fresh", "run")
SCRIPTS = os.path.join(WORK, "debootstrap")
TOOLS = ("bash", "awk", "tail", "mktemp", "rm", "cp", "mkdir", "tar", "tee", "cat", "dirname",
         "env", "true")
STAND_INS = {
    "id": "echo ${UID_PLAYED:-0}",
    "git": "printf 'quickstart\\0check\\0gone\\0'",
    "apt-get": "echo http://mirror/security Debian oldstable-security; "
    "echo http://mirror/debian Debian oldstable",
    "debootstrap": 'echo "$@" >"$NOTES"; for all; do set -- "$2" "$@"; done; '
    'for all; do case "$all" in */root) '
    'mkdir -p "$all/etc" "$all/hourglass.none" ;; esac; done; '
    'echo "E: ${FAULT:-}"; [ -z "${FAULT:-}" ]',
    "chroot": "exit 1",
    # the last argument is the command
    "unshare": 'case "${@: -1}" in ./quickstart) exit ${QUICKSTART:-0} ;; '
    './check) echo "${CHECK-8 passed, 0 failed, 2 skipped}" ;; '
    '"apt-get update -qq") exit 0 ;; true) exit ${MOUNTS:-0} ;; *) exit 9 ;; esac',
}


def tools(*without):
    """A folder of programs: the real ones that the script needs and the stand-ins, but for some."""
    folder = os.path.join(WORK, "bin-" + "-".join(without))
    os.makedirs(folder, exist_ok=True)
    os.makedirs(SCRIPTS + "/scripts", exist_ok=True)
    for suite in ("bookworm", "trixie"):
        open(os.path.join(SCRIPTS, "scripts", suite), "w").close()
    open(os.path.join(SCRIPTS, "debian-archive-keyring.gpg"), "w").close()
    for name in TOOLS:
        if not os.path.exists(os.path.join(folder, name)):
            os.symlink(shutil.which(name), os.path.join(folder, name))
    for name, text in STAND_INS.items():
        if name not in without:
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                file.write("#!/usr/bin/env bash\n" + text + "\n")
            os.chmod(os.path.join(folder, name), 0o755)
    return folder


def fresh(*arguments, code=0, without=(), **played):
    temporary = os.path.join(WORK, "temporary")
    os.makedirs(temporary, exist_ok=True)
    environment = dict(os.environ, PATH=tools(*without), TMPDIR=temporary, DEBOOTSTRAP_DIR=SCRIPTS,
                       KEYRINGS=SCRIPTS, NOTES=WORK + "/notes")
    environment.update(played)
    done = subprocess.run(["bash", PROGRAM, *arguments], env=environment, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=60, check=False)
    equal(done.returncode, code, done.stdout)
    equal(os.listdir(temporary), [], "left behind: " + done.stdout)
    return done.stdout


def skipped(reason, *arguments, **options):
    out = fresh(*arguments, **options)
    check(reason in out and out.endswith("\n0 passed, 0 failed, 1 skipped\n"), out)


def what_is_not_to_be_had_is_skipped():
    skipped("needs root", "trixie", UID_PLAYED="1000")
    for name in ("debootstrap", "git", "unshare"):
        skipped("needs " + name, "trixie", without=(name,))
    skipped("this debootstrap does not know noble", "noble")
    skipped("needs %s/none/debian-archive-keyring.gpg" % WORK, "trixie", KEYRINGS=WORK + "/none")
    skipped("debootstrap: E: no network", "trixie", FAULT="no network")
    skipped("mounts: ", "trixie", MOUNTS="1")


def a_suite_is_asked_for():
    for arguments in ((), ("sid",), ("trixie", "noble"), ("--help",)):
        check("usage: tests/fresh/run" in fresh(*arguments, code=64), "usage")


def both_commands_count():
    out = fresh("trixie")
    check(out.endswith("\n9 passed, 0 failed, 2 skipped\n"), out)
    with open(WORK + "/notes", encoding="utf-8") as file:
        notes = file.read()
    check(" trixie " in notes and notes.endswith(" http://mirror/debian\n"), notes)
    fresh("trixie", MIRROR="http://other")
    with open(WORK + "/notes", encoding="utf-8") as file:
        check(file.read().endswith(" http://other\n"), "MIRROR")
    for counts, environment in (("8 passed, 1 failed, 2 skipped",
                                 {"QUICKSTART": "1"}), ("7 passed, 3 failed, 1 skipped",
                                                        {"CHECK": "6 passed, 3 failed, 1 skipped"}),
                                ("1 passed, 1 failed, 0 skipped", {"CHECK": "Killed"})):
        out = fresh("bookworm", code=1, **environment)
        check(out.endswith("\n%s\n" % counts), out)


if __name__ == "__main__":
    main(what_is_not_to_be_had_is_skipped, a_suite_is_asked_for, both_commands_count)
