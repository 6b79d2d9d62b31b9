#!/bin/sh
# The numbers of docs/results/performance.md that need a CUDA device: a minute.
set -eu
cd "$(dirname "$0")/.."
out=docs/results/performance
mkdir -p $out
pytest -q test/robot/test_cuda_graph.py
mbmrl bench tick --device cuda --json $out/tick_gpu.json
mbmrl bench meta --device cuda --json $out/meta_gpu.json
python benchmarks/growth.py --device cuda --curves candidates horizon width window tasks \
    --json $out/growth_gpu.json
