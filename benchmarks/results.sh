#!/bin/sh
# The numbers of docs/results/half_cheetah_disabled_joint.md: trainings, then 10 episodes of 1000
# steps per test and method. An hour on two cores; every part can be started again.
set -eu
cd "$(dirname "$0")/.."
export GOMP_SPINCOUNT=0
task=half_cheetah/disabled_joint
out=docs/results/half_cheetah_disabled_joint
mkdir -p $out
keep() {
    cp runs/$1/metrics.csv $out/$1.csv
    mkdir -p bundles/$task/$1
    cp runs/$1/bundle/* bundles/$task/$1/
}
mbmrl train mb --task $task --config two_cores --seed 0 --out runs/mb
keep mb
# On the very data of MB, from its weights: what differs is the objective and the adaptation.
mbmrl train grbal --task $task --config two_cores --seed 0 --start-from runs/mb --out runs/grbal
keep grbal
python benchmarks/step_size_sweep.py runs/mb --json $out/mb_de_step_sizes.json
for test in undisturbed held_out mid_run; do
    evaluate() {
        mbmrl evaluate --bundle $task/$1 --adaptation $2 --test $test --episodes 10 \
            --candidates 128 --seed 100 --threads 1 --json $out/$3_$test.json
    }
    evaluate mb none mb
    evaluate mb dynamic_evaluation mb_de
    evaluate grbal auto grbal
done
mbmrl_control() {
    mbmrl evaluate --bundle $task/grbal --adaptation none --test $1 --episodes 10 --candidates 128 \
        --seed 100 --threads 1 --json $out/grbal_not_adapting_$1.json
}
mbmrl_control held_out
mbmrl_control mid_run
python benchmarks/results.py $out
unset GOMP_SPINCOUNT
python benchmarks/tick.py --json docs/results/tick.json
python benchmarks/lockstep.py --json docs/results/lockstep.json
