#!/usr/bin/env bash
# The recipe of the shipped weights: rooms, their caches, three trainings in turn, half of the way.
#   experiments/classical_core/train.sh OUT [ROOMS] [more `moonseg train` flags]
set -euo pipefail
out=$1 rooms=${2:-240}
shift $(($# < 2 ? $# : 2))
here=$(dirname "$0")

python3 "$here/make_caches.py" --rooms="$rooms" --out="$out/caches"
for name in classical classical_distillation classical_refinement; do
  config="$here/../../configs/$name.py"
  python3 -m moonseg_cli.main train --config="$config" \
    --cache="$out/caches/room_*" --workdir="$out/$name" "$@"
  python3 "$here/interpolate.py" "$out/$name/weights.safetensors" 0.5 "$out/$name.safetensors" \
    --online "$config"
done
