#!/usr/bin/env bash
# `make words`: words that this project does not use, what it uses instead, and how often each occurs in the tracked files,
# their names included. Exits 1 if one occurs. The glossary of ARCHITECTURE.md says what the words mean.
# Identifiers count as their words: `TopicKeeper` and `topic_keeper` are found as "keeper".
set -euo pipefail
cd "$(dirname "$0")/.."

# never, as a regular expression over whole words in lower case | instead
WORDS='
kin|self reference
judge[sd]?|constraints; decide
judging|decide
suspect(s|ed)?|a record to be confirmed
convict(s|ed)?|reject
acquit(s|ted)?|accept
guilty|rejected
innocent|accepted
verdicts?|result, comparison
portions?|adaptive limit
waves?|round
keepers?|control thread
watchers?|log ends
identities|topic ids; identity columns
pulses?|wake-up
bells?|wake-up
rings?|notify
news|event
hears?|receive
heard|received
tells?|report, show
telling|distinguish
told|reported, instructed
said|printed; the output
silen(ce|t)|recreation check; no answer
doubts?|recreation check; note
slots?|lane
chunks?|batch; a part
relations?|self reference; table
delays?|lag
origins?|metadata columns
letters?|dead letter
bad messages?|rejected record
error records?|rejected record
(kafka|consumed) messages?|record
messages? (from|in|of) (kafka|((a|the) )?(topic|partition)s?)|record
(kafka|delete) events?|record, tombstone
events? (from|in|of) (kafka|((a|the) )?(topic|partition)s?)|record
buffer of (records|rows)|batch
(record|row|batch) buffers?|batch
current offsets?|position, next offset
(merge|replace) mode|upsert, insert_ignore
rehears(al|e)|dry run
standing|partition status
surveys?|sample statistics
mend(s|ed|ing)?|fix
anew|again
away|unreachable
(is|are|was|were|be) well|recovered
living|active
dear|expensive
'

# word ; files ; a part of the line, in lower case, where all are regular expressions ; the sense in which the word stays
ALLOWED='
letters?; ^helm/livescores/(templates|tests)/; letter; of the alphabet, in names of Kubernetes objects
letters?; ^docs/kubernetes.md$; begin with a letter; of the alphabet, in names of Kubernetes objects
letters?; ^(sink-connector/src/(config/rules|encode/json)|shared/src/kafka/topic_name).rs$; letter; of the alphabet
silen(ce|t); ^docs/runbook.md$; silence the alert; of Alertmanager
doubts?; ^(sink-connector/src/commands/infer_ddl/|tests/tests/it/infer_ddl); doubt; what infer-ddl is not sure of, and a key of its JSON
relations?; ^sink-connector/src/postgres/redact.rs$; "relation; in messages of PostgreSQL
relations?; ^sink-connector/src/postgres/redact.rs$; relation ."; in messages of PostgreSQL
slots?; ^sink-connector/src/postgres/redact.rs$; slot; of replication, in messages of PostgreSQL
silen(ce|t); ^tests/pipes.sh$; --silent; an option of grep
relations?; ^sink-connector/src/postgres/redact_functions.rs$; in relation|parse_relation; in messages of PostgreSQL
relations?; ^tests/tests/it/canaries_functions.rs$; relation .*audit; in messages of PostgreSQL
relations?; ^sink-connector/src/postgres/locks.rs$; l.relation; a column of pg_locks
relations?; ^sink-connector/src/(writer/connection|table/pages).rs$; pg_relation_size; a function of PostgreSQL
relations?; ^tests/; l.relation|where relation|partition of relation|nonsystem_relation; of PostgreSQL: a column of pg_locks, a setting, a message
chunks?; [.]rs$; chunks([(]|::<)|chunk_by|chunks_exact|(first|last)_chunk; of slices in the standard library
(kafka|delete) events?; ^sink-connector/src/kafka/; rd_kafka_event; of the queues of librdkafka
delays?; ^sink-connector/src/writer/waits.rs$; delay; of the crate backon
delays?; ^sink-connector/src/commands/import_connect/; retry[.]delay; names of keys of Kafka Connect
watchers?; ^(examples/airflow/|tests/airflow_check.py); watcher; of assets, in Airflow
delays?; ^examples/airflow/; retry_delay; a setting of Airflow
delays?; ^(docker-compose.yaml|tests/src/kafka/settings.rs)$; rebalance.delay; a setting of the broker
origins?; ^(shared|producer|sink-connector/src/config)/; origin; of a setting: file, variable or flag
away; ^producer/src/(generate|live/game).rs$; away; the team that does not play at home
away; ^sink-connector/src/encode/; away.(from|2000); rounding away from zero
'

# Pictures hold no words.
git ls-files -- ':!*.png' | awk -v words="$WORDS" -v allowed="$ALLOWED" -f <(cat <<'AWK'
BEGIN {
    lines = split(words, line, "\n")
    for (i = 1; i <= lines; i++) {
        if (line[i] == "") continue
        # The last | separates the two: a regular expression has some of its own.
        at = match(line[i], /[|][^|]*$/)
        never[++count] = substr(line[i], 1, at - 1); instead[count] = substr(line[i], at + 1)
        any = any (count > 1 ? "|" : "") never[count]
    }
    lines = split(allowed, line, "\n")
    for (i = 1; i <= lines; i++) {
        if (line[i] == "") continue
        if (split(line[i], part, " *; *") != 4) { print "not an exception: " line[i]; exit 2 }
        exceptions++
        word[exceptions] = part[1]; files[exceptions] = part[2]; where[exceptions] = part[3]; reason[exceptions] = part[4]
    }
}
{ read($0) }
END { report() }

function read(file,    text, number, glossary, before, plain) {
    if (file == "tests/words.sh" || file == "LICENSE" || file == "Cargo.lock") return
    search(file, file, 0, "")
    while ((getline text < file) > 0) {
        number++
        if (text ~ /^## /) glossary = file == "ARCHITECTURE.md" && text == "## Glossary"
        if (!glossary && tolower(text) ~ any) before = search(file, text, number, before); else before = tolower(text)
    }
    close(file)
}

# Counts the words of one line. `before` is the line before it: "dead letter" may be split. Returns the line.
function search(file, text, number, before,    plain, i, j, rest, found) {
    plain = words_of(text)
    gsub(/dead letters?/, "", plain)
    if (before ~ /dead[^a-z]*$/) sub(/^ +letters? /, " ", plain)
    for (i = 1; i <= count; i++) {
        if (plain !~ (" (" never[i] ") ")) continue
        for (j = 1; j <= exceptions; j++)
            if (word[j] == never[i] && file ~ files[j] && tolower(text) ~ where[j]) { used[j]++; break }
        if (j <= exceptions) continue
        found_in[i]++; failed++
        places[i] = places[i] sprintf("    %s:%d: %s\n", file, number, substr(text, 1, 140))
    }
    return tolower(text)
}

# The words of a line in lower case, with one space around each.
function words_of(text,    out) {
    while (match(text, /[a-z0-9][A-Z]/)) {
        out = out substr(text, 1, RSTART) " "
        text = substr(text, RSTART + 1)
    }
    out = tolower(out text)
    gsub(/[^a-z]+/, " ", out)
    return " " out " "
}

function report(    i, j) {
    printf "%-58s %-38s %s\n", "never", "instead", "lines"
    for (i = 1; i <= count; i++) {
        printf "%-58s %-38s %5d\n", never[i], instead[i], found_in[i]
        printf "%s", places[i]
    }
    print "\nin another sense:"
    for (j = 1; j <= exceptions; j++) {
        printf "%-12s %-70s %5d\n", word[j], reason[j], used[j]
        if (!used[j]) { print "    no such line: remove the exception"; failed++ }
    }
    exit (failed > 0)
}
AWK
)
