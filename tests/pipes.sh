#!/usr/bin/env bash
# Finds pipes into a command that stops reading early: `head`, `grep -q`, `grep -m`, `sed q`, `awk … exit`. Under `pipefail`, the command
# before it may die of SIGPIPE, and the pipe fails with 141 although the reader succeeded. Write `grep -q … <<<"$(command)"` instead, or read
# all of it. Usage: tests/pipes.sh [FILE…], by default all scripts of the repository.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
    mapfile -t files < <(git ls-files -- '*.sh' .ci '*.yaml' '*.yml' Makefile Dockerfile)
    set -- "${files[@]}"
fi
LC_ALL=C awk '
    FNR == 1 { line = ""; from = 0 }
    { text = $0; sub(/^[ \t]*#.*/, "", text); if (line == "") from = FNR }
    # A pipe goes on in the next line.
    text ~ /(\||\\)[ \t]*$/ { sub(/\\[ \t]*$/, "", text); line = line text " "; next }
    {
        line = line text
        gsub(/\|\|/, " or ", line)
        if (line ~ /\|&?[ \t]*(\{[ \t]*|!?[ \t]*)(head([ \t]|$)|e?grep[ \t]+(-[A-Za-z]*[qm]|--quiet|--max-count|--silent)|sed[ \t]+(-n[ \t]+)?.?[0-9$]*q|awk[ \t].*exit)/) {
            printf "%s:%d: %s\n", FILENAME, from, line
            found++
        }
        line = ""
    }
    END { exit found > 0 }
' "$@"
