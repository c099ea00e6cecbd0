# Common parts of both kinds of the demo; sourced by demo.sh, demo_compose.sh and down.sh.
# shellcheck shell=bash
# shellcheck disable=SC2034

RECORDS=${RECORDS:-10000}
TOPIC=livescores_topic
GROUP=ipl_consumer_group
TABLE=ipl_livescores

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }

# Succeeds if a container engine with Compose is running.
has_docker() { docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }

SAMPLE="SELECT match_id, team1, team2, match_status, score1, wickets1, overs1, winning_team FROM $TABLE LIMIT 5"

# show_metrics METRICS: prints the most important ones, and the time from a record's timestamp to its commit.
show_metrics() {
  grep -E '^sink_(rows_written_total|dead_letters_total|partitions_assigned|batches_total|fenced_total|lag_records)|^process_resident' \
    <<<"$1" | grep -vE '^sink_(dead_letters|batches)_total.* 0$' | sed 's/^/  /'
  awk '
    /^sink_record_latency_seconds_bucket/ { match($0, /le="[^"]*"/); le = substr($0, RSTART + 4, RLENGTH - 5); count[le] += $NF; if (!(le in at)) { at[le] = ++n; bound[n] = le } }
    END {
      all = count["+Inf"]
      for (q = 1; q <= 2; q++) { want = (q == 1 ? 0.5 : 0.99) * all; for (i = 1; i <= n; i++) if (count[bound[i]] >= want) { limit[q] = bound[i]; break } }
      printf "  record → commit: half of %d records within %s s, 99 %% within %s s\n", all, limit[1], limit[2]
    }' <<<"$1"
}
