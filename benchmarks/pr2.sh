#!/bin/sh
# The numbers of docs/results/pr2_left_arm.md: for every training seed MB and GrBAL on the three
# tasks, then where the hand ends. About an hour per training seed on one core; every part can be
# started again: benchmarks/pr2.sh 0 1
set -eu
cd "$(dirname "$0")/.."
export GOMP_SPINCOUNT=0 OMP_NUM_THREADS=1
for seed in "$@"; do
    for task in reach shape_matching block_stacking; do
        train="--task pr2_left_arm/$task --seed $seed --threads 1"
        runs=runs/pr2_left_arm/$task
        mbmrl train mb $train --out $runs/mb_seed$seed
        # On the very data of MB, from its weights: what differs is the adaptation.
        mbmrl train grbal $train --config from_mb --start-from $runs/mb_seed$seed \
            --out $runs/grbal_seed$seed
        python benchmarks/pr2.py measure $task $seed
    done
done
python benchmarks/pr2.py report
