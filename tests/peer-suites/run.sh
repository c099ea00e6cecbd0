#!/usr/bin/env bash
# Runs the database tests of Debezium's, Confluent's and Aiven's JDBC sinks against this sink, and writes the result into
# docs/testing.md, which says how it works. Needs Maven Central.
# PEER_SOURCES: a folder with the sources at the tags below in debezium, confluent and aiven; without it they are cloned from GitHub.
# SUITES: which of them. With OPTIONS of JUnit's console (--select-method …) only those cases run, and the page stays as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/peer-suites/common.sh

read -ra suites <<<"${SUITES:-debezium confluent aiven}"
read -ra options <<<"${OPTIONS:-}"
sources=$(realpath -m "${PEER_SOURCES:-$work/sources}")

# clone NAME REPOSITORY TAG, unless it is there.
clone() {
  [ -d "$sources/$1" ] || git clone --quiet --depth 1 --branch "$3" "https://github.com/$2" "$sources/$1"
}

# run_suite NAME PACKAGE CLASSES… -- FOLDERS…: the shim's classes come before those of the peer. Failures do not end the script.
run_suite() {
  local name=$1 package=$2 classes=() select=()
  shift 2
  while [ "$1" != -- ]; do
    classes+=("$1")
    select+=(--select-class "$package.$1")
    shift
  done
  shift
  local tests=$1 path dir=$work/$name
  path=$(IFS=: && echo "$*")
  libraries "$name"
  mapfile -t shim < <(find tests/peer-suites/shim "tests/peer-suites/$name" -name '*.java')
  local files=("${classes[@]//.//}")
  files=("${files[@]/#/$tests/${package//.//}/}")
  compile "$name" "$dir/libs/*" -sourcepath "tests/peer-suites/shim:tests/peer-suites/$name:$path" "${shim[@]}" "${files[@]/%/.java}" \
    "${extra[@]}"
  cp -r tests/peer-suites/shim/META-INF "$dir/classes/"
  [ ! -d "tests/peer-suites/$name/META-INF" ] || cp -r "tests/peer-suites/$name/META-INF" "$dir/classes/"
  [ ${#options[@]} = 0 ] || select=("${options[@]}")
  rm -rf "$dir/reports" "$dir/runs"
  SINK_BIN=$bin/sink-connector PEER_WORK=$dir/runs PEER_CASES=$PWD/tests/peer-suites/$name/not-applicable.txt \
    java -Djunit.jupiter.extensions.autodetection.enabled=true -Duser.timezone=UTC -cp "$dir/classes:$dir/libs/*" \
    org.junit.platform.console.ConsoleLauncher execute --disable-banner --details=tree --reports-dir "$dir/reports" \
    "${select[@]}" >"$dir/log" 2>&1 || true
  grep -E '^\[ .* tests (successful|failed|skipped)' "$dir/log" | sed "s/^/$name /"
}

start_services
for suite in "${suites[@]}"; do
  extra=()
  case $suite in
    debezium)
      clone debezium debezium/debezium v3.5.0.Final
      run_suite debezium io.debezium.connector.jdbc.integration.postgres JdbcSinkInsertModeIT JdbcSinkDeleteEnabledIT \
        JdbcSinkPrimaryKeyModeIT JdbcSinkColumnTypeMappingIT JdbcSinkSchemaEvolutionIT JdbcSinkFieldFilterIT JdbcSinkDualModeIT \
        JdbcSinkUnnestBehaviorIT -- "$sources/debezium/debezium-connector-jdbc/src/test/java"
      ;;
    confluent)
      clone confluent confluentinc/kafka-connect-jdbc v10.9.7
      main=$sources/confluent/src/main/java
      # Found by its name at run time.
      extra=("$main/io/confluent/connect/jdbc/dialect/PostgreSqlDatabaseDialect.java")
      run_suite confluent io.confluent.connect.jdbc.sink JdbcDbWriterTest integration.PostgresDatatypeIT \
        integration.PostgresJdbcSinkConnectorIT integration.PostgresPartitionedIT integration.PostgresSinkDialectIT \
        integration.PostgresViewIT -- "$sources/confluent/src/test/java" "$main"
      ;;
    aiven)
      clone aiven Aiven-Open/jdbc-connector-for-apache-kafka v6.10.0
      run_suite aiven io.aiven.kafka.connect.jdbc.postgres VerifyInsertIT VerifyDeleteIT PartitionedTableIntegrationTest \
        -- "$sources/aiven/src/integrationTest/java" "$sources/aiven/src/main/java"
      ;;
    *)
      echo "no suite $suite" >&2
      exit 2
      ;;
  esac
done
[ ${#options[@]} != 0 ] || tests/peer-suites/report.py "$work" debezium confluent aiven
