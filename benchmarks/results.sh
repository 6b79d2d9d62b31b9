#!/bin/sh
# The numbers of docs/results/half_cheetah_disabled_joint.md: trainings, then 10 episodes of 1000
# steps per test and method. Three hours on two cores; every part can be started again.
set -eu
cd "$(dirname "$0")/.."
export GOMP_SPINCOUNT=0
task=half_cheetah/disabled_joint
out=docs/results/half_cheetah_disabled_joint
mkdir -p $out
for algorithm in mb grbal; do
    mbmrl train $algorithm --task $task --config two_cores --seed 0 --out runs/$algorithm
    cp runs/$algorithm/metrics.csv $out/$algorithm.csv
    mkdir -p bundles/$task/$algorithm
    cp runs/$algorithm/bundle/* bundles/$task/$algorithm/
done
python benchmarks/step_size_sweep.py runs/mb --json $out/mb_de_step_sizes.json
evaluate() {
    mbmrl evaluate --bundle $task/$1 --adaptation $2 --episodes 10 --seed 100 --json $out/$3.json
}
evaluate mb none mb
evaluate mb dynamic_evaluation mb_de
evaluate grbal auto grbal
python benchmarks/results.py $out
