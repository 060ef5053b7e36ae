#!/usr/bin/env bash
# Runs fuzz targets one after the other and says what came of each.
# usage: run.sh <path of cargo-fuzz> <seconds for each> [target...]; from the repository's root
set -uo pipefail

cargo_fuzz=$1 seconds=$2
shift 2
# Safe Rust gains nothing from a sanitizer, and without one stable Rust will do.
options=(--sanitizer none --target-dir target/fuzz)
targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <("$cargo_fuzz" fuzz list)
"$cargo_fuzz" fuzz build "${options[@]}" || exit

failed=0
printf '%-17s %12s %8s %8s %8s  %s\n' target executions seconds cpu corpus result
for target in "${targets[@]}"; do
  found=target/fuzz/corpus/$target
  log=target/fuzz/$target.log
  mkdir -p "$found"
  TIMEFORMAT=%U
  cpu=$({ time "$cargo_fuzz" fuzz run "${options[@]}" "$target" "$found" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -timeout=10 -dict="fuzz/dictionaries/mcp.dict" \
    -print_final_stats=1 >"$log" 2>&1; echo $? >"$log.status"; } 2>&1)
  result=clean
  if [ "$(<"$log.status")" != 0 ]; then
    result="FAILED, see $log"
    failed=1
  fi
  runs=$(grep -a 'number_of_executed_units' "$log" | grep -oE '[0-9]+$')
  took=$(grep -aoE 'runs in [0-9]+' "$log" | grep -oE '[0-9]+')
  corpus=$(grep -aoE 'corp: [0-9]+' "$log" | tail -n 1 | grep -oE '[0-9]+')
  printf '%-17s %12s %8s %8s %8s  %s\n' \
    "$target" "${runs:--}" "${took:--}" "$cpu" "${corpus:--}" "$result"
  if [ "$result" != clean ]; then
    grep -aE -A 3 'panicked at|ALARM|Test unit written' "$log"
  fi
done
exit "$failed"
