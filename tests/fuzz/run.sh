#!/bin/bash
# Runs the fuzzers one after the other, FUZZ_SECONDS each, and fails on the first finding.
# Arguments: targets; all of them when there are none. `--merge` first: keeps of the corpus and of what earlier runs have
# found only what the targets' coverage needs: for each place that is reached one file, however often it is reached.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${FUZZ_SECONDS:-600}
merge=
if [ "${1:-}" = --merge ]; then merge=yes; shift; fi
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=($(ls tests/fuzz/corpus))

# What cargo-fuzz sets without a sanitizer: these work with a stable compiler. With a target named, build scripts and
# macros are not instrumented.
host=$(rustc -vV | sed -n 's/^host: //p')
flags="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
	-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
export RUSTFLAGS=$(echo $flags)
# A release that still notices what a debug build notices.
export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true CARGO_PROFILE_RELEASE_LTO=off
${CARGO:-cargo} build --quiet --release --package athena-fuzz --features libfuzzer --bin fuzz --target "$host" --target-dir target/fuzz

for target in "${targets[@]}"; do
	# What a run finds goes to the first folder; only what is worth keeping is checked in.
	found=target/fuzz/found/$target; corpus=tests/fuzz/corpus/$target; crashes=target/fuzz/crashes/$target/
	mkdir -p "$found" "$corpus" "$crashes"
	options="-timeout=10 -rss_limit_mb=2048 -artifact_prefix=$crashes"
	if [ -n "$merge" ]; then
		fresh=target/fuzz/merged/$target; rm -rf "$fresh"; mkdir -p "$fresh"
		FUZZ_TARGET=$target "target/fuzz/$host/release/fuzz" $options -set_cover_merge=1 -use_counters=0 "$fresh" "$corpus" "$found" 2>&1 | tail -n 2
		find "$corpus" -type f -delete; cp -r "$fresh/." "$corpus"
		continue
	fi
	echo "fuzzing $target for $seconds s"
	log=target/fuzz/$target.log
	FUZZ_TARGET=$target "target/fuzz/$host/release/fuzz" $options -max_total_time="$seconds" -max_len=4096 -print_final_stats=1 \
		"$found" "$corpus" >"$log" 2>&1 || { tail -n 40 "$log"; echo "$target: a finding, see $crashes"; exit 1; }
	grep -E 'stat::number_of_executed_units|DONE' "$log"
done
