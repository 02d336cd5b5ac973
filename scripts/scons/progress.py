"""On a terminal, a build is one line that is refreshed, `[ 12/310] CC core/plan.o`, and what the
compilers say. Elsewhere each command has a line, as scons prints it."""

import atexit
import os
import shutil
import subprocess
import sys
import threading

import SCons.Script

CLEAR = "\r\033[K"


class BuildLine:
    """The line of one build."""

    def __init__(self):
        self.seen, self.total, self.lock = set(), 0, threading.Lock()

    def look(self, node):
        """Counts a target when its turn comes, whether or not it must be built."""
        if node.has_builder():
            self.seen.add(node)

    def show(self, command, target, _source, env):
        """Replaces SCons' line for a command."""
        self.total = self.total or len(targets_below(env))
        text = "[%3d/%d] %s" % (min(len(self.seen), self.total), self.total, command.strip())
        with self.lock:
            sys.stdout.write(CLEAR + text[:shutil.get_terminal_size().columns - 1])
            sys.stdout.flush()

    def spawn(self, shell, escape, _command, arguments, env):
        """Runs a command. Its output, such as warnings, replaces the line."""
        done = subprocess.run([shell, "-c", " ".join(arguments)], env=env, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.stdout:
            with self.lock:
                sys.stdout.write(CLEAR + done.stdout.decode(errors="replace"))
                sys.stdout.flush()
        return done.returncode

    def end(self):
        sys.stdout.write(CLEAR)
        sys.stdout.flush()


def targets_below(env):
    """What the targets of this build are made of, as far as it is built itself."""
    todo = env.arg2nodes([str(name) for name in SCons.Script.BUILD_TARGETS])
    found = set()
    while todo:
        node = todo.pop()
        if node not in found and (node.has_builder() or node.sources):
            found.add(node)
            todo += node.sources
    return {node for node in found if node.has_builder()}


def show(env):
    """Shows the build of `env` in this way if the output is a terminal."""
    silent = SCons.Script.GetOption("silent") or SCons.Script.GetOption("no_exec")
    if silent or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return
    line = BuildLine()
    SCons.Script.Progress(line.look)
    env.Replace(PRINT_CMD_LINE_FUNC=line.show, SPAWN=line.spawn)
    atexit.register(line.end)
