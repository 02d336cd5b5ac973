#!/usr/bin/env bash
# Extracts a large real text: 261 MB of C and documentation of the Linux kernel, from Debian's
# package linux-source-6.1 (19,422 files, 118 million GPT-2 tokens). DIR/files.txt lists the files
# in a fixed random order, so that a validation split resembles the rest.
# usage: scripts/fetch_linux_text.sh DIR
# then, in DIR: xargs -x -s 1500000 -d '\n' .../prepare --tokenizer=gpt2 --val-fraction=0.02 \
#                 --out=.../datasets/linux < files.txt
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: scripts/fetch_linux_text.sh DIR" >&2; exit 64; }
if [ -e "$1/files.txt" ]; then
  echo "$1: $(wc -l < "$1/files.txt") files are there"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && apt-get download linux-source-6.1 > download.log 2>&1) ||
  { cat "$work/download.log" >&2; exit 1; }
dpkg --fsys-tarfile "$work"/linux-source-6.1_*.deb |
  tar xf - -C "$work" ./usr/src/linux-source-6.1.tar.xz
mkdir "$work/tree"
tar xf "$work/usr/src/linux-source-6.1.tar.xz" -C "$work/tree" --strip-components=1 \
  --wildcards '*.c' '*.h' '*.rst' '*.txt'
folders=(Documentation fs net kernel mm lib security sound arch/x86 arch/arm64 tools block crypto
         virt ipc init drivers/usb drivers/scsi)
(cd "$work/tree" && find "${folders[@]}" -type f -size +0 | LC_ALL=C sort |
  shuf --random-source=<(yes) > files.txt)
mkdir -p "$1"
tar cf - -C "$work/tree" -T "$work/tree/files.txt" | tar xf - -C "$1"
mv "$work/tree/files.txt" "$1/files.txt"
echo "$1: $(wc -l < "$1/files.txt") files," \
  "$(cd "$1" && xargs -d '\n' cat < files.txt | wc -c) bytes of text"
