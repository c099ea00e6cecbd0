# The commands that a newcomer needs; `make` lists them.

PROFILE := checked
# Tests wait more than they compute: with as many at a time as there are cores, half of the machine is idle.
TEST_THREADS ?= $(shell expr $$(nproc) + 1)
# rustup installs cargo here; some shells do not have it on their PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help setup demo demo-live down test simulate mutants cargo-mutants lint shape words bench bench-peers bench-faucet bench-sweeps pgo profile chart packaging images images-arm64 compose cluster-test connect-test golden-envelopes peer-suites airflow dist docs book screenshots monitoring

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 20

setup: ## install what is missing, or name it: Java, Maven, PostgreSQL, a C toolchain, Rust
	@tests/setup.sh

demo: ## start Kafka and PostgreSQL, then produce, write and show 10,000 live scores; in containers if Docker is running
	@tests/demo.sh

demo-live: ## a live scoreboard in the terminal for 30 s: matches ball by ball, one row each; stops what it started
	@tests/demo_live.sh

down: ## stop the demo and delete its data
	@tests/down.sh

# One profile for clippy, build and tests, so that dependencies are compiled once.
test: lint ## all checks of CI: format, clippy, unit tests, tests with a real Kafka and PostgreSQL, the chart, the compose file
	cargo build --profile $(PROFILE) --workspace --bins --tests
	RUST_TEST_THREADS=$(TEST_THREADS) cargo test --profile $(PROFILE) --workspace
	@$(MAKE) --no-print-directory packaging

# With the same seed, a run is the same. The seed is printed.
simulate: ## HOURS=100 simulated hours of several sinks with faults; SEED=N repeats a run
	HOURS=$(or $(HOURS),100) SEED=$(or $(SEED),$(shell date +%s)) cargo test --profile $(PROFILE) -p sink-connector --lib \
	  no_simulated_fault_loses_doubles_or_holds_up_a_record -- --nocapture

mutants: ## faults put into a copy of the code, each of which the simulation must find (some minutes)
	@tests/mutants.sh

cargo-mutants: ## a sample of cargo-mutants' faults in five folders, against the unit tests; SHARD=k/n chooses it (an hour)
	@tests/cargo_mutants.sh

# Checks of the compose file and the chart. Their tools come from PyPI and from Go modules.
packaging:
	@if python3 -c 'import ensurepip, venv' 2>/dev/null; then tests/compose.sh; \
	else echo "docker-compose.yaml was NOT checked: that needs Python 3 with venv (apt-get install python3-venv)."; fi
	@if command -v go >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null; then tests/kubernetes/chart.sh; \
	else echo "The chart was NOT checked: that needs Go (https://go.dev/dl) and Python 3 with venv."; fi

lint: setup ## format, clippy (warnings are errors), the floors, the words; actionlint, cargo-deny and typos where installed
	cargo fmt --all --check
	cargo clippy --profile $(PROFILE) --workspace --all-targets --features tests/cluster,tests/connect,tests/logins -- -D warnings
	tests/shape.sh
	tests/words.sh
	tests/lint_extra.sh

shape: ## how the sources are laid out: upward imports, circles, files at the top, the longest function
	@tests/shape.sh

words: ## words that this project does not use, and what it uses instead
	@tests/words.sh

bench: setup ## throughput against `psql \copy` of the same rows in the same run
	cargo build --release --workspace --bins
	$${CARGO_TARGET_DIR:-target}/release/bench --output docs/bench

pgo: setup ## the sink, optimised with a profile of the bench
	tests/pgo.sh

profile: setup ## a profile of the sink under the bench, release.profdata, with which the images are built
	tests/pgo.sh profile

bench-sweeps: setup ## how the rate depends on record size, columns, partitions, processes, table size, network latency
	cargo build --release --workspace --bins
	$${CARGO_TARGET_DIR:-target}/release/bench --sweeps --records 100000 --output docs/bench/sweeps

# A peer that is not installed is left out. Aiven's JDBC sink is on no registry: unpack its release in target/connect-plugins/aiven.
bench-peers: setup ## the sink beside what a user might run instead: JDBC sinks on Kafka Connect (Maven Central), faucet-cli, Python (PyPI), loops
	cargo build --release --workspace --bins
	python3 -m venv $${CARGO_TARGET_DIR:-target}/bench-python
	$${CARGO_TARGET_DIR:-target}/bench-python/bin/pip install --quiet 'psycopg[binary]' confluent-kafka
	-@$(MAKE) --no-print-directory bench-faucet
	$${CARGO_TARGET_DIR:-target}/release/bench --peers --output docs/bench/peers
	$${CARGO_TARGET_DIR:-target}/release/bench --peers --small --output docs/bench/peers/small

# The newest version that this toolchain builds, with only what the bench uses.
bench-faucet: ## build faucet-cli, a peer of `make bench-peers`, from crates.io (ten minutes)
	cargo install faucet-cli --version 1.15.1 --locked --ignore-rust-version --no-default-features \
	  --features source-kafka,sink-postgres,transforms --root $${CARGO_TARGET_DIR:-target}/bench-faucet

chart: ## check the Helm chart: lint, schemas, unit tests, every rendered object and configuration (needs Go and Python)
	@tests/kubernetes/chart.sh

images: ## build and check the container images without an engine (needs root; buildah, runc, debootstrap, podman)
	@tests/kubernetes/images.sh --check $${CARGO_TARGET_DIR:-target}/images

images-arm64: ## the same for arm64, compiled on amd64 and run in an emulator (also needs qemu-user-static)
	@tests/kubernetes/images.sh --arm64 $${CARGO_TARGET_DIR:-target}/images

.PHONY: images-kerberos-oidc logins-test
images-kerberos-oidc: ## the same for the images with Kerberos and OIDC
	@tests/kubernetes/images.sh --kerberos-oidc $${CARGO_TARGET_DIR:-target}/images

compose: ## check docker-compose.yaml and the files that it mounts, without an engine (needs Python)
	@tests/compose.sh

cluster-test: setup ## test images and chart on a real Kubernetes cluster, started for the test (root, Debian, Go; half an hour the first time)
	@tests/kubernetes/cluster_test.sh

connect-test: setup ## a real Kafka Connect with Debezium's JDBC sink writes half of a topic, and the sink the rest (Maven Central)
	cargo build --profile $(PROFILE) --workspace --bins
	cargo test --profile $(PROFILE) -p tests --features connect --test connect

golden-envelopes: ## random schemas and values through Kafka Connect's JsonConverter and the sink; SEED=N repeats a run (Maven Central)
	@tests/peer-suites/golden.sh

peer-suites: ## the database tests of Debezium's, Confluent's and Aiven's JDBC sinks; PEER_SOURCES or a clone has their sources (Maven Central)
	@tests/peer-suites/run.sh

# The same folder as without the features: only what depends on librdkafka is compiled again.
logins-test: setup ## Kerberos and OIDC, with a real KDC and a token server (root, or the packages that it names)
	@tests/setup.sh --logins
	cargo build --profile $(PROFILE) --workspace --bins --features gssapi,oidc
	cargo test --profile $(PROFILE) -p shared --features gssapi,oidc --lib kafka::
	cargo test --profile $(PROFILE) -p tests --features logins --test logins

airflow: setup ## run the DAGs of examples/airflow in a real Airflow from PyPI, with a Kafka and a PostgreSQL of their own (Python with venv)
	@tests/airflow.sh

dist: setup ## what a release holds: binaries, completions for shells, manual pages, configurations, in target/dist
	cargo build --release -p sink-connector -p producer --bins
	rm -rf $${CARGO_TARGET_DIR:-target}/dist && mkdir -p $${CARGO_TARGET_DIR:-target}/dist
	cp $${CARGO_TARGET_DIR:-target}/release/sink-connector $${CARGO_TARGET_DIR:-target}/release/producer $${CARGO_TARGET_DIR:-target}/dist
	cp -r config README.md CHANGELOG.md LICENSE $${CARGO_TARGET_DIR:-target}/dist
	tests/dist.sh $${CARGO_TARGET_DIR:-target}/dist

.PHONY: deb deb-test
# cargo-deb takes what lies in target/release.
deb: setup ## Debian packages of both binaries with systemd units, in target/debian (needs cargo-deb: cargo install --locked cargo-deb)
	cargo build --release -p sink-connector -p producer --bins
	@tests/deb.sh build

deb-test: ## install these packages here, run the services as their units say, and remove them again (root, Debian; about a minute)
	cargo build --profile $(PROFILE) -p tests --bin services
	@tests/deb.sh test

book: ## the documents as a book, target/book/index.html (needs mdbook: cargo install --locked mdbook)
	@tests/book.sh --required

docs: setup ## regenerate docs/reference.md from the code, and the configuration's part of the chart's schema
	cargo build --profile $(PROFILE) --workspace --bins
	mkdir -p docs
	{ $${CARGO_TARGET_DIR:-target}/$(PROFILE)/sink-connector reference && \
	  $${CARGO_TARGET_DIR:-target}/$(PROFILE)/producer reference; } > docs/reference.md
	tests/kubernetes/config_schema.py
	@tests/book.sh

screenshots: setup ## make the pictures of docs/images again: the page at / in Chromium, and the demo's terminal (three minutes)
	cargo build --profile $(PROFILE) --workspace --bins
	$${CARGO_TARGET_DIR:-target}/$(PROFILE)/screenshots

monitoring: ## regenerate monitoring/rules.yaml and the dashboards from their sources
	cargo build --profile $(PROFILE) -p tests --bin monitoring
	mkdir -p monitoring helm/livescores/files/dashboards
	$${CARGO_TARGET_DIR:-target}/$(PROFILE)/monitoring
