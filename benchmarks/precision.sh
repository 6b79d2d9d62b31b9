#!/bin/sh
# Does bfloat16 in imagined rollouts cost return: the shipped GrBAL in both precisions, ten episodes
# from the same start states. Half an hour on one core, mostly float32's.
set -eu
cd "$(dirname "$0")/.."
export GOMP_SPINCOUNT=0 OMP_NUM_THREADS=1
out=docs/results/precision
mkdir -p $out
for test in undisturbed held_out mid_run; do
    for precision in bfloat16 float32; do
        json=$out/${precision}_$test.json
        test -e $json || mbmrl evaluate --bundle half_cheetah/disabled_joint/grbal --test $test \
            --precision $precision --episodes 10 --candidates 128 --seed 100 --threads 1 --json $json
    done
done
