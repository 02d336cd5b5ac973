#!/usr/bin/env python3
"""Makes Debian packages of what a build has made: `scons deb` runs this.

usage: scripts/scons/deb.py --build=DIR --programs=DIR      packages in DIR/deb/

  hourglass          programs, manual pages, completion, configs, GPT-2's vocabulary
  libhourglass0      the shared library
  libhourglass-dev   its header and the .pc file

The packages are for the processor of the build (march=). They lack the module for Parquet, because
Debian has no Apache Arrow. $DEBFULLNAME and $DEBEMAIL name the maintainer. The dates are those of
the commit, or $SOURCE_DATE_EPOCH.
"""

import argparse
import email.utils
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import install  # noqa: E402
import release  # noqa: E402

MAINTAINER = "%s <%s>" % (os.environ.get("DEBFULLNAME", "Hourglass maintainers"),
                          os.environ.get("DEBEMAIL", "maintainers@hourglass.invalid"))
TOPIC = """ Hourglass trains GPTs in C and CUDA. It records a training step once, plans its
 memory before any device is used, and replays it."""
# package: (section, further dependencies, recommended, summary, description, what it takes of the
# tree)
PACKAGES = {
    "hourglass": ("science", "libopenblas0-openmp", "openmpi-bin, gnuplot-nox",
                  "trainer of GPTs that plans memory before it runs",
                  " This package has the programs, for training, studies, generation, evaluation\n"
                  " and conversion.", ("usr/bin", "usr/lib/hourglass", "usr/share")),
    "libhourglass0": ("libs", "libopenblas0-openmp", "",
                      "text and logits from trained GPTs, shared library",
                      " This package has the shared library: a trained model and the attention\n"
                      " operator, for programs in C and C++.",
                      ("usr/lib/{arch}/libhourglass.so.*", )),
    "libhourglass-dev": ("libdevel", "libhourglass0 (= {version})", "",
                         "text and logits from trained GPTs, development files",
                         " This package has the header of the library and its pkg-config file.",
                         ("usr/include", "usr/lib/{arch}/libhourglass.so",
                          "usr/lib/{arch}/pkgconfig")),
}
COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Hourglass

Files: *
Copyright: 2026 The Hourglass authors
License: Apache-2.0
 The full text is in /usr/share/common-licenses/Apache-2.0.

Files: usr/share/hourglass/vocab/*
Copyright: 2019 OpenAI
License: Expat
 Permission is hereby granted, free of charge, to any person obtaining a copy
 of this software and associated documentation files (the "Software"), to deal
 in the Software without restriction, including without limitation the rights
 to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
 copies of the Software, and to permit persons to whom the Software is
 furnished to do so, subject to the following conditions:
 .
 The above copyright notice and this permission notice shall be included in all
 copies or substantial portions of the Software.
 .
 THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
 IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
 FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
 AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
 LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
 OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
 SOFTWARE.
"""


def output(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True,
                          **options).stdout.strip()


def date():
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if not seconds and os.path.exists(".git"):
        seconds = output("git", "log", "-1", "--format=%ct")
    return email.utils.formatdate(int(seconds) if seconds else None)


def binaries(tree):
    found = []
    for folder, _, names in os.walk(tree):
        paths = [os.path.join(folder, name) for name in names]
        found += [path for path in paths if not os.path.islink(path) and is_elf(path)]
    return sorted(found)


def is_elf(path):
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def dependencies(tree, work):
    """What shared libraries the binaries need, as packages. A library that no package has, such as
    CUDA's from NVIDIA's installer, is left out."""
    files = binaries(tree)
    if not files:
        return []
    os.makedirs(tree + "/DEBIAN", exist_ok=True)  # dpkg-shlibdeps takes it for a package's tree
    install.put(work + "/debian/control", 0o644,
                "Source: hourglass\n\nPackage: hourglass\nArchitecture: any\n")
    shown = output("dpkg-shlibdeps", "-O", "--ignore-missing-info",
                   *["-e" + path for path in files], cwd=work)
    return [shown.split("=", 1)[1]]


def compress(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(gzip.compress(text.encode(), 9, mtime=0))
    os.chmod(path, 0o644)


def describe(tree, name, version):
    doc = os.path.join(tree, "usr/share/doc", name)
    install.put(doc + "/copyright", 0o644, COPYRIGHT)
    compress(doc + "/changelog.gz", "hourglass (%s) unstable; urgency=medium\n\n  * See "
             "CHANGELOG.md of the sources, commit %s.\n\n -- %s  %s\n" %
             (version, release.commit(), MAINTAINER, date()))
    for folder, _, names in os.walk(tree + "/usr/share/man"):
        for page in names:
            path = os.path.join(folder, page)
            with open(path, encoding="utf-8") as file:
                compress(path + ".gz", file.read())
            os.remove(path)


def control(tree, name, version, arch, work):
    section, depends, recommends, summary, description, _ = PACKAGES[name]
    needs = dependencies(tree, work) + [depends.format(version=version)]
    size = sum(os.lstat(os.path.join(folder, file)).st_size
               for folder, _, files in os.walk(tree + "/usr") for file in files)
    fields = [("Package", name), ("Source", "hourglass" if name != "hourglass" else ""),
              ("Version", version), ("Architecture", arch), ("Maintainer", MAINTAINER),
              ("Installed-Size", str(size // 1024 + 1)), ("Depends", ", ".join(needs)),
              ("Recommends", recommends), ("Section", section), ("Priority", "optional"),
              ("Multi-Arch", "same" if name == "libhourglass0" else ""),
              ("Description", "\n".join((summary, TOPIC, " .", description)))]
    return "".join("%s: %s\n" % field for field in fields if field[1])


def checksums(tree):
    lines = []
    for folder, _, names in os.walk(tree + "/usr"):
        for path in (os.path.join(folder, name) for name in names):
            if not os.path.islink(path):
                with open(path, "rb") as file:
                    lines.append("%s  %s\n" % (hashlib.md5(file.read()).hexdigest(),
                                               os.path.relpath(path, tree)))
    return "".join(sorted(lines, key=lambda line: line[34:]))


def pack(tree, name, version, arch, work, target):
    describe(tree, name, version)
    parts = {"md5sums": checksums(tree), "control": control(tree, name, version, arch, work)}
    if name == "libhourglass0":
        parts["shlibs"] = "libhourglass 0 libhourglass0 (>= %s)\n" % version
        parts["triggers"] = "activate-noawait ldconfig\n"
    for part, text in parts.items():
        install.put(os.path.join(tree, "DEBIAN", part), 0o644, text)
    path = os.path.join(target, "%s_%s_%s.deb" % (name, version, arch))
    output("dpkg-deb", "--root-owner-group", "--build", tree, path)
    return path


def move(tree, to, pattern):
    """Moves a file, a folder or the files of a pattern, to the same place in another tree."""
    folder, name = os.path.split(pattern)
    names = [entry for entry in os.listdir(os.path.join(tree, folder))
             if entry == name or (name.endswith("*") and entry.startswith(name[:-1]))]
    os.makedirs(os.path.join(to, folder), exist_ok=True)
    for entry in names:
        shutil.move(os.path.join(tree, folder, entry), os.path.join(to, folder, entry))


def deb(args, work):
    os.umask(0o022)
    version, arch = release.version(), output("dpkg", "--print-architecture")
    multiarch = output("dpkg-architecture", "-qDEB_HOST_MULTIARCH")
    target = os.path.abspath(os.path.join(args.build, "deb"))
    args.destdir, args.prefix, args.libdir = work + "/tree", "/usr", "lib/" + multiarch
    args.with_module = False
    install.install(args)
    share = args.destdir + "/usr/share"
    shutil.move(share + "/zsh/site-functions", share + "/zsh/vendor-completions")
    os.remove(share + "/doc/hourglass/LICENSE")
    for path in binaries(args.destdir):
        output("strip", "--remove-section=.comment", "--strip-unneeded", path)
    os.makedirs(target, exist_ok=True)
    made = []
    for name, package in PACKAGES.items():
        for pattern in package[-1]:
            move(args.destdir, work + "/" + name, pattern.format(arch=multiarch))
        made.append(pack(work + "/" + name, name, version, arch, work, target))
    return made


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(deb(install.arguments(argparse.ArgumentParser()), folder)))
