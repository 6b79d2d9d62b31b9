#!/bin/sh
# The numbers of docs/results/adaptation.md: all figures of the thesis on adaptation, and those
# beyond it. Started again it goes on. More arguments go to every grid, as in
#     benchmarks/adaptation.sh --processes 2 --seeds 0 1
# What the six settings of Fig. 33 need comes first, then what shares its trainings.
set -eu
cd "$(dirname "$0")/.."
out=runs/experiments
status=0
for name in generalisation adaptation-error recovery data fit planners horizon far far-error far-recovery model-free \
    true-physics test-time planner-sweep learning-curve window-size training-distribution; do
    mbmrl experiment $name --out $out --candidates 128 "$@" || status=$?
    # Interrupted, or refused.
    case $status in 0 | 1) ;; *) exit $status ;; esac
    mbmrl report $out --out docs/results/adaptation.md
done
exit $status
