#!/usr/bin/env bash
# `make mutants`: faults that are put into a copy of the tree, one at a time. The simulation, the property test over schedules
# or the source's rules by example must fail with each of them, or they would not notice if the fault were made.
# docs/testing.md has the list.
# Usage: tests/mutants.sh [NAME…]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
# Dependencies are compiled already; only this crate is compiled again.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target} CARGO_INCREMENTAL=1

# name, file below sink-connector/src, sed script
MUTANTS='
kafka_before_rows|source/handover.rs|s/entry\.handed_over(span\.next);/&\n                self.kafka_commits.stored(\&span.partition, span.next);/
forget_to_resume|source/handover.rs|/Command::Resume/d
forget_to_unpark|source/parked.rs|s/if !queued {/if !queued \&\& false {/
position_of_an_abandoned_batch|writer/attempts.rs|s/Event::Waited if now\.shutdown => .*/Event::Waited if now.shutdown => self.committed(BatchCounts::default()),/
unanswered_is_committed|writer/attempts.rs|s/self\.unanswered = Some(counts);/return self.committed(counts);/
revoked_batch_comes_back|source/stops.rs|/lane\.void_in_flight\.extend_from_slice/d
breaker_reads_queued_records_again|source/breakers.rs|s/entry\.gave_back(kept)/entry.gave_back(kept.filter(|_| false))/
'

restore() {
    rm -rf "${copy:?}/"*
    (cd "$root" && git ls-files -z --cached --others --exclude-standard | xargs -0 cp -p --parents -t "$copy" 2>/dev/null) || true
}

run() {
    (cd "$copy" && cargo test --profile checked -p sink-connector --lib -- simulation:: source::tests:: >"$copy/log" 2>&1)
}

restore
if ! (cd "$copy" && cargo test --profile checked -p sink-connector --lib --no-run >"$copy/log" 2>&1) || ! run; then
    tail -40 "$copy/log"
    echo "The tests fail without a mutant."
    exit 1
fi
survivors=0
while IFS='|' read -r name file script; do
    if [ -z "$name" ]; then continue; fi
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then continue; fi
    source="$copy/sink-connector/src/$file"
    cp "$source" "$copy/original"
    sed -i "$script" "$source"
    if cmp -s "$copy/original" "$source"; then
        echo "$name: not applied, because $file has changed"
        survivors=$((survivors + 1))
    elif ! (cd "$copy" && cargo test --profile checked -p sink-connector --lib --no-run >"$copy/log" 2>&1); then
        echo "$name: does not compile"
        tail -20 "$copy/log"
        survivors=$((survivors + 1))
    elif run; then
        echo "$name: NOT caught"
        survivors=$((survivors + 1))
    else
        caught=$(grep -c '^test simulation.* FAILED' "$copy/log" || true)
        example=$(grep -c '^test source::tests.* FAILED' "$copy/log" || true)
        echo "$name: caught by $caught of $(grep -c '^test simulation' "$copy/log") simulated tests, and $example by example"
    fi
    cp "$copy/original" "$source"
done <<<"$MUTANTS"
exit $((survivors > 0))
