#!/bin/sh
# Downloads GPT-2's vocabulary to build/vocab (or to the directory given as argument):
# gpt2.tiktoken, the rank file in the Python package openai-whisper. Does nothing if the file
# exists.
set -eu

cd "$(dirname "$0")/.."
target=${1:-build/vocab}
sha256=306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930

is_right() { [ -f "$1" ] && echo "$sha256  $1" | sha256sum --check --status; }

if is_right "$target/gpt2.tiktoken"; then
    echo "$target/gpt2.tiktoken is there"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps \
    --dest "$work" openai-whisper
python3 - "$work" <<'PYTHON'
import pathlib, sys, tarfile, zipfile
work = pathlib.Path(sys.argv[1])
name = "whisper/assets/gpt2.tiktoken"
for package in sorted(work.iterdir()):
    if package.suffix == ".whl":
        archive = zipfile.ZipFile(package)
        data = archive.read(name)
    else:
        archive = tarfile.open(package)
        data = archive.extractfile(next(m for m in archive if m.name.endswith("/" + name))).read()
    (work / "gpt2.tiktoken").write_bytes(data)
PYTHON
if ! is_right "$work/gpt2.tiktoken"; then
    echo "fetch_gpt2_vocab.sh: error: the package's gpt2.tiktoken is not GPT-2's" \
      "(its SHA-256 is not $sha256)" >&2
    exit 65
fi
mkdir -p "$target"
mv "$work/gpt2.tiktoken" "$target/gpt2.tiktoken"
echo "$target/gpt2.tiktoken: GPT-2's vocabulary, 50256 ranks"
