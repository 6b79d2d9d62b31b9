#!/bin/sh
# What int8 gains, and whether it costs return, on a processor with AVX-512 VNNI and no bfloat16: half an
# hour on two cores.
set -eu
cd "$(dirname "$0")/.."
out=docs/results/performance/int8
mkdir -p $out
for threads in 1 2; do
    mbmrl bench tick --precision int8 --threads $threads --json $out/tick_2500x15_$threads.json
done
mbmrl bench tick --precision int8 --threads 1 --candidates 1000 --horizon 10 --json $out/tick_1000x10_1.json
export GOMP_SPINCOUNT=0 OMP_NUM_THREADS=1
for precision in int8 float32; do
    mbmrl evaluate --bundle half_cheetah/disabled_joint/grbal --test undisturbed --candidates 128 \
        --precision $precision --episodes 10 --seed 100 --threads 1 \
        --json $out/half_cheetah_$precision.json
done
