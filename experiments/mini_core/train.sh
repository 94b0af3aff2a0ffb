#!/usr/bin/env bash
# The recipe: rooms, what the small backbones make of them, three trainings in turn.
#   experiments/mini_core/train.sh OUT [ROOMS] [more `moonseg train` flags]
set -euo pipefail
out=$(realpath -m "$1") rooms=${2:-320}
shift $(($# < 2 ? $# : 2))
cd "$(dirname "$0")/../.."

python3 -m experiments.mini_core.make_caches --rooms="$rooms" --out="$out/caches"
for name in mini mini_distillation mini_refinement; do
  python3 -m moonseg_cli.main train --config="configs/$name.py" \
    --cache="$out/caches/room_*" --workdir="$out/$name" "$@"
done
