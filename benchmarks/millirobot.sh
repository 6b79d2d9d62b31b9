#!/bin/sh
# The numbers of docs/results/millirobot_paths.md: for every training seed MB and GrBAL, then ten
# episodes per shape, test and method from the same start states. About an hour per training
# seed on one core; every part can be started again: benchmarks/millirobot.sh 0 1
set -eu
cd "$(dirname "$0")/.."
export GOMP_SPINCOUNT=0 OMP_NUM_THREADS=1
runs=runs/millirobot/path
out=docs/results/millirobot_paths
known=carpet,styrofoam,turf
mild=gravel,slope,side_slope,missing_leg,payload,pulled,miscalibrated,weak_battery,mid_run
hard=hard_missing_leg,hard_slope,hard_side_slope,hard_payload,hard_pulled,hard_miscalibrated
hard=$hard,hard_weak_battery
evaluate() {    # seed, name, model, adaptation, tests, their folder
    for shape in straight left right zig_zag; do
        json=$out/seed$1/$6/$2_$shape.json
        test -e $json || mbmrl evaluate --bundle $runs/$3_seed$1/bundle --adaptation $4 \
            --task millirobot/$shape --test $5 --episodes 10 --candidates 500 --seed 100 \
            --threads 1 --json $json
    done
}
for seed in "$@"; do
    mkdir -p $out/seed$seed/known $out/seed$seed/mild $out/seed$seed/hard
    train="--task millirobot/path --seed $seed --threads 1"
    mbmrl train mb $train --out $runs/mb_seed$seed
    # On the very data of MB, from its weights: what differs is the adaptation.
    mbmrl train grbal $train --config from_mb --start-from $runs/mb_seed$seed --out $runs/grbal_seed$seed
    cp $runs/mb_seed$seed/metrics.csv $out/seed$seed/mb.csv
    cp $runs/grbal_seed$seed/metrics.csv $out/seed$seed/grbal.csv
    for tests in hard known mild; do
        eval "names=\$$tests"
        evaluate $seed mb mb none $names $tests
        evaluate $seed grbal grbal auto $names $tests
        evaluate $seed mb_de mb dynamic_evaluation $names $tests
    done
done
python benchmarks/millirobot.py $out
