#!/usr/bin/env bash
# Installs the packages that Hourglass needs. The only list of them. For Debian 12 and 13.
# usage: scripts/install_packages.sh [--tests]      with --tests also what ./check needs
set -euo pipefail

packages=(build-essential scons openmpi-bin libopenmpi-dev libhdf5-dev libyaml-dev libjansson-dev
          libpcre2-dev libutf8proc-dev zlib1g-dev libzstd-dev libopenblas-openmp-dev libdnnl-dev
          libxxhash-dev bible-kjv gnuplot-nox)
tests=(libcunit1-dev zstd hdf5-tools lintian pkgconf shellcheck groff-base
       clang-format clang-tidy python3 python3-pip slurm-wlm munge)
# in build/python: pyarrow is built with (Parquet); the first four are for
# tests/data/test_tokenizers.py and tests/launch/test_convert_families.py, from tensorboard on for
# tests/launch/test_tensorboard.py; `scons docs` takes mkdocs to watchdog;
# pandas is for tests/launch/test_pages.py
python=(tokenizers tiktoken regex safetensors pyarrow tensorboard numpy protobuf absl_py
        mkdocs click ghp_import jinja2 markdown markupsafe mergedeep mkdocs_get_deps packaging
        pathspec platformdirs python_dateutil pyyaml pyyaml_env_tag watchdog
        pandas)

with_tests=no
case "${1:-}" in
  "") ;;
  --tests) with_tests=yes; packages+=("${tests[@]}") ;;
  *) echo "usage: scripts/install_packages.sh [--tests]" >&2; exit 64 ;;
esac

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  echo "packages: this system has no apt-get; install by hand what these Debian packages hold," \
    "then run scons:"
  echo "  ${packages[*]}"
  exit 0
fi

# Python packages that tests compare with; without them those tests are skipped.
finish() {
  local target package absent=no
  target=$(dirname "$0")/../build/python
  for package in "${python[@]}"; do
    compgen -G "$target/$package-*.dist-info" >/dev/null || absent=yes
  done
  if [ $with_tests = yes ] && [ $absent = yes ]; then
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
      --target "$target" "${python[@]}" >&2 ||
      echo "packages: note: pip cannot install ${python[*]}; the tests that need them are skipped"
  fi
  exit 0
}

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "packages: all ${#packages[@]} are there, nothing to install"
  finish
fi

root=(env DEBIAN_FRONTEND=noninteractive)
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "packages: error: neither root nor sudo; ask an administrator for:" \
      "apt-get install ${missing[*]}" >&2
    exit 1
  fi
  root=(sudo "${root[@]}")
fi

echo "packages: installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${root[@]}" apt-get update -qq &&
       "${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"; } \
    >"$log" 2>&1 </dev/null; then
  tail -n 20 "$log" >&2
  echo "packages: error: apt-get failed, see above; then: apt-get install ${missing[*]}" >&2
  exit 1
fi
echo "packages: installed"
finish
