#!/bin/sh
# The numbers and plots of docs/results/performance.md: about twenty minutes on two quiet cores.
# Trainings or anything else beside it spoil the ratios, which compare two threads with one.
set -eu
cd "$(dirname "$0")/.."
out=docs/results/performance
mkdir -p $out
mbmrl bench tick --json $out/tick.json
mbmrl bench tick --candidates 1000 --horizon 10 --json $out/tick_1000x10.json
mbmrl bench meta --json $out/meta.json
mbmrl bench sim --steps 200 --repetitions 11 --json $out/sim.json
python benchmarks/growth.py --json $out/growth.json
python benchmarks/lockstep.py --json $out/lockstep.json
# One core for the controller, one for messages and the simulator.
python benchmarks/long_run.py --minutes 10 --threads 1 --json $out/long_run.json
python benchmarks/performance.py $out
