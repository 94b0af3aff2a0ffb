#!/usr/bin/env bash
# The shipped weights: rooms, their caches, three trainings side by side on one GPU.
#   experiments/classical_core/train.sh OUT [ROOMS] [more `moonseg train` flags]
set -euo pipefail
out=$1 rooms=${2:-320}
shift $(($# < 2 ? $# : 2))
here=$(dirname "$0")

python3 "$here/make_caches.py" --rooms="$rooms" --out="$out/caches"
export XLA_PYTHON_CLIENT_PREALLOCATE=false
for name in classical classical_distillation classical_refinement; do
  python3 -m moonseg_cli.main train --config="$here/../../configs/$name.py" \
    --cache="$out/caches/*" --workdir="$out/$name" "$@" >"$out/$name.log" 2>&1 &
done
wait
