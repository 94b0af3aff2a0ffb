#!/usr/bin/env bash
# The recipe: rooms, what the small backbones make of them, nine trainings as one, half of the way.
#   experiments/mini_core/train.sh OUT [ROOMS] [more `moonseg sweep` flags]
set -euo pipefail
out=$(realpath -m "$1") rooms=${2:-240}
shift $(($# < 2 ? $# : 2))
cd "$(dirname "$0")/../.."

python3 -m experiments.mini_core.make_caches --rooms="$rooms" --out="$out/caches"
python3 -m moonseg_cli.main sweep --config=experiments/mini_core/rows.py \
  --cache="$out/caches/room_*" --workdir="$out/rows" "$@"
member=0
for name in mini mini_distillation mini_refinement; do
  for seed in 0 1 2; do
    python3 -m experiments.classical_core.interpolate \
      "$out/rows/members/$member/weights.safetensors" 0.5 "$out/${name}_$seed.safetensors" \
      --online "configs/$name.py"
    member=$((member + 1))
  done
done
