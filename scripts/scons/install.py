#!/usr/bin/env python3
"""Installs what a build has made: `scons install` runs this.

usage: scripts/scons/install.py --build=DIR --programs=DIR [--destdir=] [--prefix=/usr/local]
                                [--libdir=lib]

Everything is found relative to the programs or to the .pc file, so that the tree can move:

  PREFIX/bin/hourglass-NAME           links to the programs in PREFIX/lib/hourglass/
  PREFIX/include/hourglass.h          the header of the library
  PREFIX/LIBDIR/libhourglass.so.0     the library, and pkgconfig/hourglass.pc
  PREFIX/share/hourglass/             configs, and vocab where the build has GPT-2's vocabulary
  PREFIX/share/man/man1/              manual pages
  PREFIX/share/{bash-completion,zsh,fish}/    completion
  PREFIX/share/doc/hourglass/         documentation and examples
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pages  # noqa: E402
import release  # noqa: E402

PC = """prefix=${pcfiledir}/%s
libdir=${prefix}/%s
includedir=${prefix}/include

Name: hourglass
Description: Text and logits from trained GPTs, and the attention operator
Version: %s
Libs: -L${libdir} -lhourglass
Cflags: -I${includedir}
"""


def put(path, mode, text=None, source=None):
    """A file with this text or the content of `source`."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.remove(path)  # it may be running
    if source:
        shutil.copyfile(source, path)
    else:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    os.chmod(path, mode)


def link(path, target):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.remove(path)
    os.symlink(target, path)


def put_folder(path, source, ending=""):
    for folder, _, names in os.walk(source):
        for name in sorted(names):
            if name.endswith(ending):
                put(os.path.join(path, os.path.relpath(folder, source), name), 0o644,
                    source=os.path.join(folder, name))


def put_programs(top, args):
    home = os.path.join(top, "lib/hourglass")
    for name in release.PROGRAMS:
        put(os.path.join(home, name), 0o755, source=os.path.join(args.programs, name))
        link(os.path.join(top, "bin", pages.PREFIX + name), "../lib/hourglass/" + name)
    module = os.path.join(args.build, "table_arrow.so")
    if os.path.exists(module) and args.with_module:
        put(os.path.join(home, "table_arrow.so"), 0o644, source=module)


def put_pages(top, args, version):
    for name in release.PROGRAMS:
        shown = subprocess.run([os.path.join(args.programs, name), "--help=json"], check=True,
                               capture_output=True, text=True).stdout
        table, installed = json.loads(shown), pages.PREFIX + name
        for path, text in (("man/man1/%s.1" % installed,
                            pages.man_page(table, version, release.PROGRAMS)),
                           ("bash-completion/completions/" + installed, pages.bash(table)),
                           ("zsh/site-functions/_" + installed, pages.zsh(table)),
                           ("fish/vendor_completions.d/%s.fish" % installed, pages.fish(table))):
            put(os.path.join(top, "share", path), 0o644, text)


def put_library(top, args, version):
    folder = os.path.join(top, args.libdir)
    put(os.path.join(folder, "libhourglass.so." + version), 0o644,
        source=os.path.join(args.build, "public/libhourglass.so"))
    link(os.path.join(folder, release.SONAME), "libhourglass.so." + version)
    link(os.path.join(folder, "libhourglass.so"), release.SONAME)
    put(os.path.join(top, "include/hourglass.h"), 0o644, source=release.PUBLIC + ".h")
    up = os.path.relpath(".", os.path.join(args.libdir, "pkgconfig"))
    put(os.path.join(folder, "pkgconfig/hourglass.pc"), 0o644, PC % (up, args.libdir, version))


def put_data(top):
    put_folder(os.path.join(top, "share/hourglass/configs"), "configs", ".yaml")
    if os.path.isdir("build/vocab"):
        put_folder(os.path.join(top, "share/hourglass/vocab"), "build/vocab")
    doc = os.path.join(top, "share/doc/hourglass")
    for name in ("README.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"):
        put(os.path.join(doc, name), 0o644, source=name)
    put_folder(os.path.join(doc, "docs"), "docs")
    put_folder(os.path.join(doc, "examples"), "examples/installed")


def install(args):
    version = release.version()
    top = os.path.join(args.destdir, args.prefix.lstrip("/")) if args.destdir else args.prefix
    put_programs(top, args)
    put_pages(top, args, version)
    put_library(top, args, version)
    put_data(top)
    return top


def arguments(parser):
    parser.add_argument("--build", required=True)
    parser.add_argument("--programs", required=True)
    parser.add_argument("--destdir", default="")
    parser.add_argument("--prefix", default="/usr/local")
    parser.add_argument("--libdir", default="lib")
    parser.set_defaults(with_module=True)
    args = parser.parse_args()
    if not re.fullmatch(r"(/[\w.+-]+)+/?", args.prefix):
        parser.error("--prefix must be an absolute path, not '%s'" % args.prefix)
    return args


if __name__ == "__main__":
    print("installed in " + install(arguments(argparse.ArgumentParser())))
