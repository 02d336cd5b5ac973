#!/usr/bin/env python3
"""scripts/scons/install.py and deb.py, which `scons install` and `scons deb` run: an installation
that has moved, with its library, pages and completion; packages that lintian accepts.

sanitizers: no
"""

import ast
import glob
import os
import re
import shutil
import subprocess
import sys

from e2e import (BUILD, ENVIRONMENT, PROGRAMS, WORK, Skip, check, config, equal, main, run,
                 run_directory, text, train, write)

NAMES = ("train", "evaluate", "prepare", "generate", "sweep", "bench", "convert", "supervise",
         "watch")
CLEAN = {key: value for key, value in ENVIRONMENT.items() if key != "HOURGLASS_VOCAB"}


def output(*command, code=0, **options):
    options.setdefault("env", CLEAN)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=300, **options)
    check(done.returncode == code, "%s: %d\n%s%s" % (command, done.returncode, done.stdout,
                                                     done.stderr))
    return done.stdout


def needs(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip("needs " + program)


def script(name, *arguments):
    return output("python3", "scripts/scons/" + name, "--build=" + BUILD, "--programs=" + PROGRAMS,
                  *arguments)


def installed():
    """The prefix of an installation that has moved."""
    moved = os.path.join(WORK, "moved")
    if not os.path.exists(moved):
        stage = os.path.join(WORK, "stage")
        script("install.py", "--destdir=" + stage, "--prefix=/opt/hourglass")
        os.rename(stage + "/opt/hourglass", moved)
    return moved


def trained():
    if not os.path.exists(run_directory("source")):
        train(config("source", training__stop__steps=30, checkpoint__interval=0))
    return run_directory("source")


def programs_have_their_names_and_their_files():
    bin = installed() + "/bin"
    equal(sorted(os.listdir(bin)), sorted("hourglass-" + name for name in NAMES))
    path = {**CLEAN, "PATH": bin + ":" + os.environ["PATH"]}
    folder = os.path.join(WORK, "elsewhere")
    os.makedirs(folder)
    shown = output("hourglass-train", "--help", env=path, cwd=folder)
    check(shown.startswith("Usage: hourglass-train CONFIG [key=value ...] [options]\n"), shown[:80])
    if not os.path.exists("build/vocab/gpt2.tiktoken"):
        raise Skip("GPT-2's vocabulary is not here")
    with open(folder + "/a.txt", "w") as file:
        file.write(text(4000))
    output("hourglass-prepare", "a.txt", "--out=.", "--tokenizer=gpt2", env=path, cwd=folder)
    os.rename(installed() + "/share/hourglass/vocab", WORK + "/vocab")
    output("hourglass-prepare", "a.txt", "--out=.", "--tokenizer=gpt2", env=path, cwd=folder,
           code=65)
    os.rename(WORK + "/vocab", installed() + "/share/hourglass/vocab")


def the_library_exports_its_header_alone():
    needs("nm", "objdump")
    library = installed() + "/lib/libhourglass.so"
    symbols = re.findall(r"(?m) [A-Z] (\w+)@@HOURGLASS_0$", output("nm", "-D", "--defined-only",
                                                                   library))
    with open(installed() + "/include/hourglass.h") as file:
        code = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)
    declared = re.findall(r"\b(hourglass_\w+)\(", code)
    equal(sorted(symbols), sorted(declared))
    check(len(output("nm", "-D", "--defined-only", library).splitlines()) == len(declared) + 1)
    check("SONAME               libhourglass.so.0\n" in output("objdump", "-p", library))


def an_example_runs_in_c_and_in_cxx():
    needs("pkg-config")
    prefix, run_path = installed(), trained()
    environment = {**CLEAN, "PKG_CONFIG_PATH": prefix + "/lib/pkgconfig",
                   "LD_LIBRARY_PATH": prefix + "/lib"}
    flags = output("pkg-config", "--cflags", "--libs", "hourglass", env=environment).split()
    source = prefix + "/share/doc/hourglass/examples/continue_text.c"
    wanted = run("generate", run_path, "--start=the ", "--num-samples=1", "--max-new-tokens=64",
                 "--temperature=0").out
    for compiler in (["gcc", "-std=c99"], ["g++", "-x", "c++", "-std=c++11"]):
        program = os.path.join(WORK, "continue_text")
        output(*compiler, "-Wall", "-Wextra", "-Werror", "-pedantic", source, "-o", program, *flags)
        equal(output(program, run_path, "the ", env=environment), wanted, compiler[0])
        output(program, run_path, "", env=environment, code=64)
        output(program, "nowhere", "the ", env=environment, code=65)


def pages_hold_the_option_table():
    for name in NAMES:
        page = installed() + "/share/man/man1/hourglass-%s.1" % name
        with open(page) as file:
            content = file.read().replace("\\-", "-")
        listed = re.findall(r"(?m)^  --([\w-]+)", run(name, "--help").out.split("\nOptions:\n")[1])
        equal(re.findall(r"(?m)^\.B --([\w-]+)", content), listed, page)
        if shutil.which("groff"):
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", page], capture_output=True,
                                  text=True, env=CLEAN)
            equal((done.returncode, done.stderr), (0, ""), page)


def completes(name, *words):
    """What bash offers for the last word; it splits words at '='."""
    path = installed() + "/share/bash-completion/completions/hourglass-" + name
    line = "compopt() { :; }; . %s; COMP_WORDS=(hourglass-%s %s); COMP_CWORD=%d; _hourglass_%s; " \
        "printf '%%s\\n' \"${COMPREPLY[@]}\"" % (path, name, " ".join("'%s'" % w for w in words),
                                               len(words), name)
    return output("bash", "-c", line, cwd=WORK).split()


def shells_complete_options_values_and_keys():
    equal(completes("generate", "--te"), ["--temperature="])
    equal(completes("generate", "--dtype", "=", "fl"), ["float32", "float16"])
    equal(completes("generate", "--dtype", "="), ["auto", "float32", "bfloat16", "float16"])
    equal(completes("bench", "lad"), ["ladder"])
    check("optimizer.lr=" in completes("train", "optimizer.l"), completes("train", "optimizer.l"))
    folder = installed() + "/share/"
    for shell, pattern in (("zsh", "zsh/site-functions/*"),
                           ("fish", "fish/vendor_completions.d/*")):
        files = glob.glob(folder + pattern)
        equal(len(files), len(NAMES), pattern)
        for path in files if shutil.which(shell) else []:
            output(shell, "-n", path)


def packages_are_accepted_by_lintian():
    needs("dpkg-deb", "dpkg-shlibdeps")
    if not re.search(r"(?m)^CUDA +no$", output(PROGRAMS + "/train", "--version")):
        raise Skip("kernels make each program 73 MB, which takes minutes to compress")
    packages = script("deb.py").split()
    equal([os.path.basename(path).split("_")[0] for path in packages],
          ["hourglass", "libhourglass0", "libhourglass-dev"])
    listed = output("dpkg-deb", "--contents", packages[0])
    for part in ("./usr/bin/hourglass-train ->", "./usr/share/man/man1/hourglass-train.1.gz\n"):
        check(part in listed, part)
    check("libhourglass0 (= " in output("dpkg-deb", "--field", packages[2], "Depends"))
    needs("lintian")
    output("lintian", "--allow-root", "--fail-on=error,warning", *packages)


def an_old_onednn_is_refused():
    needs("cc")
    with open("scripts/scons/features.py") as file:
        preamble = re.search(r'(?s)\nONEDNN = \"\"\"(.*?)\"\"\"', file.read()).group(1)
    folder = os.path.join(WORK, "onednn")
    source = write(folder + "/source.c", preamble + "\nint main(void) { return 0; }\n")
    for version, code in (("2", "5"), 1), (("2", "6"), 0), (("3", "0"), 0):
        write(folder + "/dnnl.h", "#define DNNL_VERSION_MAJOR %s\n#define DNNL_VERSION_MINOR %s\n" %
              version)
        done = subprocess.run(["cc", "-fsyntax-only", "-I", folder, source], capture_output=True,
                              text=True)
        equal(done.returncode, code, "%s: %s" % (version, done.stderr))


def a_clone_without_git_has_no_commit():
    clone = os.path.join(WORK, "clone")
    os.makedirs(clone + "/.git")
    scripts = os.path.abspath("scripts/scons")
    printed = output(sys.executable, "-c", "import release; print(release.commit())", cwd=clone,
                     env={"PATH": clone, "PYTHONPATH": scripts})
    equal(printed, "unknown\n", "commit")


def recipes_name_what_the_build_needs():
    recipe = "packaging/spack/packages/hourglass/package.py"
    with open(recipe) as file:
        nodes = list(ast.walk(ast.parse(file.read())))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    in_paths = {name.value for node in nodes if isinstance(node, ast.For)
                and isinstance(node.iter.elts[0], ast.Constant) for name in node.iter.elts}
    named = {re.match(r"[\w-]+", call.args[0].value).group() for call in calls
             if isinstance(call.func, ast.Name) and call.func.id == "depends_on"}
    with open("scripts/scons/features.py") as file:
        libraries = re.findall(r'(?m)^    "(\w+)": \("lib|^    "(\w+)": \("zlib', file.read())
    libraries = {"zlib-api" if zlib else name.lower() for name, zlib in libraries} - {"cunit"}
    equal(libraries - named, set(), "libraries that the recipe lacks")
    equal(libraries ^ in_paths, set(), "the folders of libraries that the compiler sees")
    check({"mpi", "cuda", "nccl", "scons"} <= named and len(libraries) == 10, "%s" % libraries)
    with open("packaging/hourglass.def") as file:
        sections = dict(re.findall(r"(?ms)^%(\w+)\n(.*?)(?=^%|\Z)", file.read()))
    for name in ("post", "runscript", "test", "environment"):
        path = os.path.join(WORK, name + ".sh")
        with open(path, "w") as file:
            file.write("#!/bin/sh\nset -e\n" + re.sub(r"\{\{ (\w+) \}\}", r"\1", sections[name]))
        output("sh", "-n", path)
        if shutil.which("shellcheck"):
            output("shellcheck", path)


if __name__ == "__main__":
    main(programs_have_their_names_and_their_files, the_library_exports_its_header_alone,
         an_example_runs_in_c_and_in_cxx, pages_hold_the_option_table,
         shells_complete_options_values_and_keys, packages_are_accepted_by_lintian,
         an_old_onednn_is_refused, a_clone_without_git_has_no_commit,
         recipes_name_what_the_build_needs)
