#!/usr/bin/env bash
# Draws the loss curves of runs with gnuplot. usage: scripts/plot_loss.sh OUT.svg RUN...
# A run's training loss is a thin line, its validation loss a thick one with points.
set -euo pipefail

[ $# -ge 2 ] || { echo "usage: scripts/plot_loss.sh OUT.svg RUN..." >&2; exit 64; }
command -v gnuplot >/dev/null ||
  { echo "plot_loss: error: no gnuplot; install the package gnuplot-nox" >&2; exit 1; }
out=$1
shift
points=$(mktemp -d)
trap 'rm -rf "$points"' EXIT

curves=() n=0
for run; do
  [ -r "$run/metrics.csv" ] ||
    { echo "plot_loss: error: $run/metrics.csv: not there; is it a run?" >&2; exit 65; }
  n=$((n + 1))
  awk -F, 'NR > 1 && $5 != "" {print $1, $5}' "$run/metrics.csv" >"$points/train$n"
  awk -F, 'NR > 1 && $6 != "" {print $1, $6}' "$run/metrics.csv" >"$points/val$n"
  # neither ends a text of gnuplot's
  name=$(basename -- "$run" | tr "'\`" "\"\"" | tr -d '[:cntrl:]')
  style="lines lw 1 lc $((2 * n - 1))"
  [ ! -s "$points/train$n" ] || curves+=("'$points/train$n' with $style title '$name, training'")
  style="linespoints lw 2 pt 7 ps 0.4 lc $((2 * n))"
  [ ! -s "$points/val$n" ] || curves+=("'$points/val$n' with $style title '$name, validation'")
done
[ ${#curves[@]} -gt 0 ] || { echo "plot_loss: error: nothing was logged yet in $*" >&2; exit 65; }

gnuplot <<END >"$points/out"
set terminal svg size 720,400 dynamic background rgb "white" font "sans-serif,13"
set colorsequence podo
set border 3
set tics nomirror
set grid ytics lc rgb "#dddddd"
set key top right noenhanced
set xlabel "step"
set ylabel "loss, nats per token"
plot $(IFS=,; echo "${curves[*]}")
END
cp -- "$points/out" "$out"
echo "wrote $out"
