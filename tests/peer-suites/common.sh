# What golden.sh and run.sh share. Both are in the folder of the workspace when they read it.
# BIN_DIR: binaries that are built already; otherwise they are built here.
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
work=$target/peer-suites
mkdir -p "$work"
if [ -n "${BIN_DIR:-}" ]; then
  bin=$(realpath "$BIN_DIR")
else
  tests/setup.sh
  cargo build --profile checked -p sink-connector -p tests --bins
  bin=$target/checked
fi

# Fetches the jars that tests/peer-suites/NAME/pom.xml names, once for each version of that file.
libraries() {
  local pom=tests/peer-suites/$1/pom.xml libs=$work/$1/libs
  cmp -s "$pom" "$work/$1/pom.xml" && return
  rm -rf "$libs"
  mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -f "$pom" -DoutputDirectory="$libs"
  cp "$pom" "$work/$1/pom.xml"
}

# compile NAME CLASS_PATH ARGUMENT…: javac into $work/NAME/classes, from scratch.
compile() {
  local name=$1 path=$2
  shift 2
  rm -rf "$work/$name/classes"
  javac -proc:none -nowarn -Xlint:none -encoding UTF-8 -d "$work/$name/classes" -cp "$path" "$@"
}

# A Kafka and a PostgreSQL of their own, stopped when the script ends.
start_services() {
  local services=("$bin/services" --dir "$work/services") addresses
  trap "'$bin/services' --dir '$work/services' down" EXIT
  addresses=$("${services[@]}" up --kafka-port 29092 --postgres-port 25432)
  BOOTSTRAP_SERVERS=$(sed -n 's/^BOOTSTRAP_SERVERS=//p' <<<"$addresses")
  POSTGRES_URL=$(sed -n 's/^POSTGRES_URL=//p' <<<"$addresses")
  # postgresql://user@host:port/database
  local rest=${POSTGRES_URL#postgresql://}
  JDBC_URL="jdbc:postgresql://${rest#*@}?user=${rest%%@*}"
  export BOOTSTRAP_SERVERS POSTGRES_URL JDBC_URL
}
