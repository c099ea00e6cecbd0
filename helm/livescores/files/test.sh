# `helm test`: sends one record through producer and sink, and waits until the sinks' metrics count its row.
# Runs in busybox, before the producer ("before") and after it ("after"). If there is nothing to produce, only "ready" runs.
# Helm prints only the log of the last step, so that step repeats the output of the first.
# Takes SERVICE (fully qualified), PORT, TIMEOUT (seconds).
set -eu

# Addresses of the sinks, looked up each time, because pods may change.
sinks() {
    nslookup "$SERVICE" 2>/dev/null |
        awk '/^Name:/ { named = 1 } named && /^Address/ { print $NF ~ /:/ ? "[" $NF "]" : $NF }' | sort -u
}

# Number of rows written by all sinks to all tables.
rows() {
    for sink in $(sinks); do
        timeout 5 wget -q -O - "http://$sink:$PORT/metrics" || true
    done | awk '/^sink_rows_written_total[{ ]/ { rows += $NF } END { printf "%d\n", rows }'
}

# Succeeds if every sink can write to its table; otherwise prints why not.
ready() {
    [ -n "$(sinks)" ] || { echo "$SERVICE has no pods"; return 1; }
    for sink in $(sinks); do
        timeout 5 wget -q -O /dev/null "http://$sink:$PORT/readyz" || {
            echo "$sink is not ready:"
            timeout 5 wget -q -O - "http://$sink:$PORT/status" || true
            return 1
        }
    done
}

# wait_for WHAT COMMAND…
wait_for() {
    what=$1
    shift
    until output=$("$@"); do
        [ "$(date +%s)" -lt "$deadline" ] || { echo "$output"; echo "failed: $what: not within $TIMEOUT s"; exit 1; }
        sleep 1
    done
    echo "ok: $what"
}

more_rows() { now=$(rows); echo "$now rows written, as before"; [ "$now" -gt "$(cat /state/rows)" ]; }

deadline=$(($(date +%s) + TIMEOUT))
case $1 in
    ready) wait_for "every sink is ready" ready ;;
    before)
        if (wait_for "every sink is ready" ready) >/state/before; then
            rows >/state/rows
        fi
        ;;
    after)
        cat /state/before
        [ -e /state/rows ] || exit 1
        wait_for "the record's row is in the metrics" more_rows
        ;;
esac
