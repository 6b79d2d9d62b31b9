#!/bin/sh
# The numbers of docs/results/millirobot_paths.md: for every training seed MB and GrBAL, then ten
# episodes per shape, test and method from the same start states. About half an hour per training
# seed on one core; every part can be started again: benchmarks/millirobot.sh 0 1
set -eu
cd "$(dirname "$0")/.."
export GOMP_SPINCOUNT=0 OMP_NUM_THREADS=1
runs=runs/millirobot/path
out=docs/results/millirobot_paths
evaluate() {
    json=$out/seed$1/$2_$5.json
    test -e $json || mbmrl evaluate --bundle $runs/$3_seed$1/bundle --adaptation $4 \
        --task millirobot/$5 --test all --episodes 10 --candidates 500 --seed 100 --threads 1 \
        --json $json
}
for seed in "$@"; do
    mkdir -p $out/seed$seed
    train="--task millirobot/path --seed $seed --threads 1"
    mbmrl train mb $train --config two_cores --out $runs/mb_seed$seed
    # On the very data of MB, from its weights: what differs is the adaptation.
    mbmrl train grbal $train --config from_mb --start-from $runs/mb_seed$seed --out $runs/grbal_seed$seed
    cp $runs/mb_seed$seed/metrics.csv $out/seed$seed/mb.csv
    cp $runs/grbal_seed$seed/metrics.csv $out/seed$seed/grbal.csv
    for shape in straight left right zig_zag; do
        evaluate $seed mb mb none $shape
        evaluate $seed grbal grbal auto $shape
        evaluate $seed mb_de mb dynamic_evaluation $shape
    done
done
python benchmarks/millirobot.py $out
