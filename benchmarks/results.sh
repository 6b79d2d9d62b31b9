#!/bin/sh
# The numbers of docs/results/half_cheetah_disabled_joint.md: for every training seed the trainings,
# then 10 episodes of 1000 steps per test and method. About an hour per seed on one core; every
# part can be started again, and seeds can run side by side: benchmarks/results.sh 0 1 2
set -eu
cd "$(dirname "$0")/.."
export GOMP_SPINCOUNT=0 OMP_NUM_THREADS=1
task=half_cheetah/disabled_joint
out=docs/results/half_cheetah_disabled_joint
evaluate() {
    json=$out/seed$1/$2_$5.json
    test -e $json || mbmrl evaluate --bundle runs/$3_seed$1/bundle --adaptation $4 --test $5 \
        --episodes 10 --candidates 128 --seed 100 --threads 1 --json $json
}
for seed in "$@"; do
    mkdir -p $out/seed$seed
    train="--task $task --seed $seed --threads 1"
    mbmrl train mb $train --out runs/mb_seed$seed
    # On the very data of MB, from its weights: what differs is the adaptation.
    mbmrl train grbal $train --config from_mb --start-from runs/mb_seed$seed --out runs/grbal_seed$seed
    mbmrl train rebal $train --config from_mb --start-from runs/mb_seed$seed --out runs/rebal_seed$seed
    cp runs/mb_seed$seed/metrics.csv $out/seed$seed/mb.csv
    cp runs/grbal_seed$seed/metrics.csv $out/seed$seed/grbal.csv
    for test in undisturbed held_out mid_run; do
        evaluate $seed mb mb none $test
        evaluate $seed grbal grbal auto $test
        evaluate $seed rebal rebal auto $test
        evaluate $seed mb_de mb dynamic_evaluation $test
    done
done
python benchmarks/results.py $out
