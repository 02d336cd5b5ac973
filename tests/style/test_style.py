#!/usr/bin/env python3
"""The project rules that a program can check: includes between folders, lengths, forbidden words,
formatting. (fast lane)

sanitizers: no
"""

import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# room: the rooms it may include; nothing includes upward
ROOMS = {
    "core": ("core",),
    "nn/attention": ("nn/attention", "core"),
    "nn": ("nn", "nn/attention", "core"),
    "dist": ("dist", "core"),
    "data": ("data", "core"),
    "checkpoints": ("checkpoints", "core"),
    "launch": ("launch", "data", "checkpoints", "dist", "nn", "nn/attention", "core"),
}
# header: the only places that may see it
HEADERS = {
    r"<mpi\.h>": ("dist/", ),
    r"<nccl\.h>": ("dist/", ),
    r"<hdf5\.h>": ("checkpoints/", "data/"),
    r"<yaml\.h>": ("launch/", ),
    r"<pcre2\.h>": ("data/", ),
    r"<utf8proc\.h>": ("data/", ),
    r"<z(lib|std)\.h>": ("data/", ),
    r"<(arrow|parquet)/.*>": ("data/", ),
    r"<cblas\.h>": ("core/cpu/", "nn/attention/"),
    r"<dnnl\.h>": ("core/cpu/", ),
    r"<cublas\w*\.h>": ("core/cuda/", ),
    r"<(cuda\w*|mma|cooperative_groups\S*)(\.h)?>": ("core/cuda/", "nn/attention/", "dist/nccl.c",
                                                     "dist/gpu_internal.h"),
}
LIBRARIES = ("core/", "nn/", "dist/", "data/", "checkpoints/", "launch/config/")
KERNELS = ("core/cpu/", "core/cuda/", "core/ops/")  # one name an op on both devices
CODE = (".c", ".cc", ".h", ".cu", ".cuh")
SOURCES = (*CODE, ".py", ".sh")
MAX_FILE, LONG_FUNCTION, MAX_FUNCTION, MAX_LINE = 400, 60, 70, 100
# Where lines must be short, besides C: scripts (also by their first line, #!) and pages, but not
# generated ones. In pages, tables, blocks of commands or output, and addresses may be wide.
SHORT_LINES = (".py", ".sh", ".md", ".yaml", "SConstruct", ".clang-tidy")
GENERATED = ("docs/config.md", "docs/options.md")
WIDE_IN_PAGES = r"(?ms)^ *```.*?^ *```$|^ *\|[^\n]*|https?://\S+"
FORMATTER = 14


def files_by_git(*options):
    """What is committed or about to be, as git lists it; None without git or outside of a
    checkout."""
    if not shutil.which("git"):
        return None
    listed = subprocess.run(["git", "ls-files", *options], capture_output=True, text=True)
    return None if listed.returncode else sorted(path for path in listed.stdout.splitlines()
                                                 if os.path.isfile(path))


def ignored():
    """.gitignore as a regular expression for a path."""
    words = {"**/": "(.*/)?", "*": "[^/]*"}
    lines = [line
             for line in lines_of(".gitignore") if line and not line.startswith("#")] + ["/.git"]
    return re.compile("|".join(("^" if "/" in line.rstrip("/") else "(^|/)") + "".join(
        words.get(part, re.escape(part))
        for part in re.split(r"(\*\*/|\*)", line.strip("/"))) + "(/|$)" for line in lines))


def files_by_name():
    """The same without git: all but what .gitignore names."""
    pattern, found = ignored(), []
    for folder, folders, names in os.walk("."):
        folders[:] = [
            name for name in folders
            if not pattern.search(os.path.relpath(os.path.join(folder, name)))
        ]
        found += [os.path.relpath(os.path.join(folder, name)) for name in names]
    return sorted(path for path in found if os.path.isfile(path) and not pattern.search(path))


def files():
    by_git = files_by_git("-co", "--exclude-standard")
    return files_by_name() if by_git is None else by_git


def lines_of(path):
    with open(path, encoding="utf-8", errors="replace") as source:
        return source.read().splitlines()


def room_of(path):
    """The room of a path or an include, or None outside of the rooms."""
    return next(
        (room for room in sorted(ROOMS, key=len, reverse=True) if path.startswith(room + "/")),
        None)


def includes(code):
    for path in code:
        for number, line in enumerate(lines_of(path), 1):
            match = re.match(r'\s*#\s*include\s+(["<][^">]+[">])', line)
            if match:
                yield path, number, match.group(1)


def rooms_include_only_downward(code):
    wrong = []
    for path, number, header in includes(code):
        room, other = room_of(path), room_of(header.strip('"'))
        if room and header.startswith('"') and other not in ROOMS[room]:
            wrong.append("%s:%d: %s/ may not include %s" % (path, number, room, header))
    return wrong


def module_of(path):
    """A source and its header are one module."""
    return os.path.splitext(path)[0]


def strong_components(graph):
    """Sets of nodes that reach each other, of two nodes or more. Source: Tarjan 1972, without
    recursion."""
    order, low, stack, on_stack, found = {}, {}, [], set(), []
    for root in sorted(graph):
        work = [(root, iter(sorted(graph[root])))] if root not in order else []
        while work:
            node, others = work[-1]
            if node not in order:
                order[node] = low[node] = len(order)
                stack.append(node)
                on_stack.add(node)
            other = next((other for other in others if other not in order or other in on_stack),
                         None)
            if other is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    component = stack[stack.index(node):]
                    del stack[stack.index(node):]
                    on_stack.difference_update(component)
                    found += [tuple(sorted(component))] if len(component) > 1 else []
            elif other in order:
                low[node] = min(low[node], order[other])
            else:
                work.append((other, iter(sorted(graph[other]))))
    return found


def outside_tests(code):
    return [path for path in code if not path.startswith("tests/")]


def modules_have_no_cycles(code):
    sources = outside_tests(code)
    graph = {module_of(path): set() for path in sources}
    for path, _, header in includes(sources):
        other = module_of(header.strip('"'))
        if header.startswith('"') and other in graph and other != module_of(path):
            graph[module_of(path)].add(other)
    found = strong_components(graph)
    return ["a cycle of includes: " + ", ".join(cycle) for cycle in found]


def named_twice(places):
    return ["%s: %s" % (name, ", ".join(sorted(paths)))
            for name, paths in sorted(places.items()) if len(paths) > 1]


def file_names_are_unique(code):
    places = {}
    for path in outside_tests(code):
        if path.endswith((".c", ".h")) and not path.startswith(KERNELS):
            places.setdefault(os.path.basename(path), set()).add(path)
    return named_twice(places)


def type_names_are_unique(code):
    places = {}
    for path in outside_tests(code):
        for line in lines_of(path):
            match = re.match(r"(?:typedef )?(?:struct|enum|union) (\w+) ?\{", line)
            if match:
                places.setdefault(match.group(1), set()).add(path)
    return named_twice(places)


def libraries_stay_in_their_rooms(code):
    wrong = []
    for path, number, header in includes(code):
        for pattern, places in HEADERS.items():
            if re.fullmatch(pattern, header) and not path.startswith(places + ("tests/",)):
                wrong.append("%s:%d: %s may only be seen in %s" %
                             (path, number, header, ", ".join(places)))
    return wrong


def cuda_is_for_cu_files(code):
    return [
        "%s:%d: %s in a C file; CUDA belongs into .cu files" % (path, number, header)
        for path, number, header in includes(code)
        if re.match(r"<cu(da|blas)", header) and path.endswith(".c") and path not in (
            "dist/nccl.c", "core/cuda/cublaslt_cuda.c") and not path.startswith("tests/")
    ]


def headers_have_guards(code):
    return ["%s: no #pragma once" % path for path in code if path.endswith((".h", ".cuh"))
            and not any(line == "#pragma once" for line in lines_of(path))
            and "included more than once" not in "\n".join(lines_of(path)[:12])]


def files_are_short(everything):
    counts = [(len(lines_of(path)), path) for path in everything if path.endswith(SOURCES)]
    return [
        "%s: %d lines, the limit is %d" % (path, count, MAX_FILE) for count, path in counts
        if count > MAX_FILE
    ]


def is_script_or_page(path):
    if path.endswith(SHORT_LINES):
        return path not in GENERATED
    with open(path, "rb") as file:
        return file.read(2) == b"#!"


def lines_are_short(everything):
    wrong = []
    for path in filter(is_script_or_page, everything):
        text = "\n".join(lines_of(path))
        if path.endswith(".md"):
            text = re.sub(WIDE_IN_PAGES, lambda wide: "\n" * wide.group().count("\n"), text)
        wrong += [
            "%s:%d: %d columns, the limit is %d" % (path, number, len(line), MAX_LINE)
            for number, line in enumerate(text.split("\n"), 1) if len(line) > MAX_LINE
        ]
    return wrong


def functions(path):
    """(name, first line, number of lines): a definition starts in column 0, and its brace closes
    there."""
    start, name, depth_line = 0, "", None
    for number, line in enumerate(lines_of(path), 1):
        if depth_line is None and re.match(r"[A-Za-z_]", line) and not re.match(
                r"(typedef|enum|struct|union|extern)\b[^(]*$", line):
            start, name = number, (re.findall(r"(\w+)\s*\(", line) or [name])[0]
        if re.match(r"(?!typedef|enum)\S.*\)\s*\{$", line):
            depth_line = start
        elif depth_line is not None and line.startswith("}"):
            yield name, depth_line, number - depth_line + 1
            depth_line = None
        elif depth_line is None and re.match(r"\S.*\)\s*\{.*\}$", line):
            yield name, number, 1


def functions_are_short(code):
    found = [(length, path, line, name) for path in code if path.endswith((".c", ".cu"))
             for name, line, length in functions(path)]
    lengths = sorted(length for length, *_ in found)
    if lengths:
        print("    %d functions: median %d lines, 90th percentile %d, %d over %d" % (
            len(lengths), lengths[len(lengths) // 2], lengths[len(lengths) * 9 // 10],
            sum(length > LONG_FUNCTION for length in lengths), LONG_FUNCTION))
    return ["%s:%d: %s has %d lines, the limit is %d" % (path, line, name, length, MAX_FUNCTION)
            for length, path, line, name in found if length > MAX_FUNCTION]


def matches(paths, pattern, what):
    return ["%s:%d: %s: %s" % (path, number, what, line.strip()[:80]) for path in paths
            for number, line in enumerate(lines_of(path), 1) if re.search(pattern, line)]


def nothing_is_left_for_later(code):
    return matches(code, r"TO"
                   r"DO|FIX"
                   r"ME|\bXX"
                   r"X\b|not implemented|placeholder", "left for later")


def libraries_never_exit(code):
    libraries = [path for path in code if path.startswith(LIBRARIES)]
    return matches(libraries, r"(?<![\w.>])(exit|abort|assert)\s*\(",
                   "a library may not end the program")


def libraries_never_print(code):
    libraries = [path for path in code if path.startswith(("core/", "nn/", "data/", "checkpoints/"))
                 and path != "core/status.c"]  # the reporter that mains call
    return matches(
        libraries,
        r"(?<!\w)(printf|puts|putchar|perror)\s*\(|f(printf|puts)\s*\((.*, )?std(out|err)",
        "a library may not print")


def out_of_memory_says_what_for(code):
    sources = [path for path in code if path.startswith(tuple(room + "/" for room in ROOMS))]
    return matches(sources, r'"out of memory"\)', "take OUT_OF_MEMORY (core/status.h)")


def no_paths_of_a_machine(everything):
    text = [
        path for path in everything
        if not path.startswith("tests/golden/") and b"\0" not in open(path, "rb").read(4096)
    ]
    return matches(text, r"[\"' =(:]/(w[o]rk|r[o]ot|h[o]me)/", "a path of one machine")


def a_tree_without_git_lists_the_same(_):
    by_git, by_name = files_by_git("-c"), set(files_by_name())
    product = re.compile(r"(build|runs)/|(train|prepare)$|.*(__pycache__|\.sconsign|\.gcda)")
    return ["%s: not listed without git" % path for path in by_git or [] if path not in by_name] + \
        ["%s: a build's product, listed without git" % path for path in by_name
         if product.match(path)]


def tests_use_their_own_folders(everything):
    tests = [path for path in everything if path.startswith("tests/") and path != "tests/harness.c"
             and path.endswith((".c", ".h", ".cu", ".cuh", ".py"))]
    return matches(tests, r"(?<!\+ )[\"'=]/(tmp|var|etc|nonexistent|nowhere)\b",
                   "a path outside the test's own folder")


def code_is_formatted(code):
    version = subprocess.run(["clang-format", "--version"], capture_output=True, text=True).stdout \
        if shutil.which("clang-format") else ""
    if " version %d." % FORMATTER not in version:  # each version formats a little differently
        return None
    run = subprocess.run(["clang-format", "--dry-run", "--Werror", *code], capture_output=True,
                         text=True)
    return sorted({line
                   for line in run.stderr.splitlines()
                   if ": error:" in line})[:20] if run.returncode else []


def main():
    os.chdir(ROOT)
    everything = files()
    code = [path for path in everything if path.endswith(CODE)]
    checks = [
        rooms_include_only_downward, modules_have_no_cycles, file_names_are_unique,
        type_names_are_unique, libraries_stay_in_their_rooms, cuda_is_for_cu_files,
        headers_have_guards, files_are_short, lines_are_short, functions_are_short,
        nothing_is_left_for_later, libraries_never_exit, libraries_never_print,
        out_of_memory_says_what_for,
        no_paths_of_a_machine, a_tree_without_git_lists_the_same, tests_use_their_own_folders,
        code_is_formatted
    ]
    no_formatter = "skipped (needs clang-format %d)" % FORMATTER
    counts = {"ok": 0, "FAILED": 0, no_formatter: 0}
    for check in checks:
        wrong = check(everything if check in (files_are_short, lines_are_short,
                                              no_paths_of_a_machine, tests_use_their_own_folders)
                      else code)
        verdict = no_formatter if wrong is None else "FAILED" if wrong else "ok"
        counts[verdict] += 1
        print("  style: %s ... %s" % (check.__name__, verdict))
        print("".join("    %s\n" % line for line in wrong or []), end="")
    print("%d passed, %d failed, %d skipped" % tuple(counts.values()))
    return 1 if counts["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
