# The commands that a newcomer needs; `make` lists them.

PROFILE := checked
# Where rustup puts cargo, for shells that have not been told.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help setup demo down test lint bench chart packaging images images-arm64 compose cluster-test docs monitoring

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 20

setup: ## install, or name, what is missing: Java, Maven, PostgreSQL, a C toolchain, Rust
	@tests/setup.sh

demo: ## Kafka and PostgreSQL up, 10,000 live scores produced, written and shown; in containers where Docker answers
	@tests/demo.sh

down: ## stop what the demo started and delete its data
	@tests/down.sh

# One profile for clippy, build and tests, so that dependencies are compiled once.
test: lint ## everything that CI checks: format, clippy, unit tests, tests on a real Kafka and PostgreSQL, the chart, the compose file
	cargo build --profile $(PROFILE) --workspace --bins --tests
	cargo test --profile $(PROFILE) --workspace
	@$(MAKE) --no-print-directory packaging

# What users deploy with. The tools for it come from PyPI and from Go modules.
packaging:
	@if python3 -c 'import ensurepip, venv' 2>/dev/null; then tests/compose.sh; \
	else echo "docker-compose.yaml was NOT checked: that needs Python 3 with venv (apt-get install python3-venv)."; fi
	@if command -v go >/dev/null && python3 -c 'import ensurepip, venv' 2>/dev/null; then tests/kubernetes/chart.sh; \
	else echo "The chart was NOT checked: that needs Go (https://go.dev/dl) and Python 3 with venv."; fi

lint: setup ## format and clippy, warnings as errors
	cargo fmt --all --check
	cargo clippy --profile $(PROFILE) --workspace --all-targets --features tests/cluster -- -D warnings

bench: setup ## throughput against `psql \copy` of the same rows in the same run
	cargo build --release --workspace --bins
	$${CARGO_TARGET_DIR:-target}/release/bench

chart: ## the Helm chart: lint, schemas, unit tests, every rendered object and configuration (needs Go and Python)
	@tests/kubernetes/chart.sh

images: ## the container images, built without an engine and looked into (needs root; buildah, runc, debootstrap, podman)
	@tests/kubernetes/images.sh --check $${CARGO_TARGET_DIR:-target}/images

images-arm64: ## the same for arm64, compiled on amd64 and run by an emulator (qemu-user-static as well)
	@tests/kubernetes/images.sh --arm64 $${CARGO_TARGET_DIR:-target}/images

compose: ## docker-compose.yaml and what it mounts, checked without an engine (needs Python)
	@tests/compose.sh

cluster-test: setup ## images and chart on a real Kubernetes that it starts and stops (root, Debian, Go; half an hour at first)
	@tests/kubernetes/cluster_test.sh

docs: setup ## docs/reference.md anew, from the code, and what the chart knows of it
	cargo build --profile $(PROFILE) -p sink-connector -p producer --bins
	mkdir -p docs
	{ $${CARGO_TARGET_DIR:-target}/$(PROFILE)/sink-connector reference && \
	  $${CARGO_TARGET_DIR:-target}/$(PROFILE)/producer reference; } > docs/reference.md
	tests/kubernetes/config_schema.py

monitoring: ## the plain alert rules and the dashboards anew, from their sources
	cargo build --profile $(PROFILE) -p tests --bin monitoring
	mkdir -p monitoring helm/livescores/files/dashboards
	$${CARGO_TARGET_DIR:-target}/$(PROFILE)/monitoring
