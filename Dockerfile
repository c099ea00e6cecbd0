# The images of both binaries: `docker build --target sink-connector .`, `docker build --target producer .`
#
# The binaries are static: the final image holds one of them, roots of trust and time zones. With glibc rather than musl:
# librdkafka and the batches allocate all the time, and musl's allocator is slow at that. Names are looked up in files and by
# DNS, which glibc has built in since 2.34; what else an nsswitch.conf may say would need its shared libraries.

# In the version of rust-toolchain.toml.
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/static-debian12:nonroot

# On the builder's own architecture whatever the image's is, amd64 or arm64: the compiler crosses, and nothing is emulated.
FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS build
# The image's architecture; a builder that names none means its own.
ARG TARGETARCH
WORKDIR /src
# OpenSSL and librdkafka are compiled from their sources: make and a whole perl beside the image's C compiler. librdkafka's
# configure wants a C++ compiler as well, though nothing of ours is C++, and goes by CC and CXX.
# hadolint ignore=DL3008
RUN own=$(dpkg --print-architecture) && target=${TARGETARCH:-$own} \
    && case $target in \
        amd64) cpu=x86_64 compiler=g++-x86-64-linux-gnu ;; \
        arm64) cpu=aarch64 compiler=g++-aarch64-linux-gnu ;; \
        *) echo "TARGETARCH is $target: the images are for amd64 and arm64" >&2; exit 1 ;; \
    esac \
    && if [ "$target" = "$own" ]; then compiler=g++; fi \
    && apt-get update \
    && apt-get install --yes --no-install-recommends "$compiler" make perl \
    && rm -rf /var/lib/apt/lists/* \
    && triple=$cpu-unknown-linux-gnu gnu=$cpu-linux-gnu \
    && { [ -d "$(rustc --print target-libdir --target "$triple")" ] || rustup target add "$triple"; } \
    && mkdir .cargo /out \
    && printf '%s\n' '[build]' "target = '$triple'" "[target.$triple]" "linker = '$gnu-gcc'" \
        "rustflags = ['-Ctarget-feature=+crt-static']" \
        '[env]' "CC = '$gnu-gcc'" "CXX = '$gnu-g++'" "AR = '$gnu-ar'" >.cargo/config.toml
ENV LIBZ_SYS_STATIC=1 \
    CARGO_PROFILE_RELEASE_DEBUG=none \
    CARGO_PROFILE_RELEASE_STRIP=debuginfo

# The dependencies in a layer of their own, which only the manifests and the lock file change: our crates are empty here.
# Cargo wants to see every member of the workspace, `tests` too, of which nothing is built.
COPY Cargo.toml Cargo.lock ./
COPY shared/Cargo.toml shared/
COPY producer/Cargo.toml producer/
COPY sink-connector/Cargo.toml sink-connector/
COPY tests/Cargo.toml tests/
RUN mkdir -p shared/src producer/src sink-connector/src tests/src tests/tests/it tests/tests/cluster \
    && touch shared/src/lib.rs producer/src/lib.rs sink-connector/src/lib.rs tests/src/lib.rs \
    && echo 'fn main() {}' | tee producer/src/main.rs sink-connector/src/main.rs tests/tests/it/main.rs tests/tests/cluster/main.rs >/dev/null \
    && cargo build --locked --release -p sink-connector -p producer

COPY config config
COPY shared shared
COPY producer producer
COPY sink-connector sink-connector
# What `sink_build_info` says.
ARG REVISION=
# Cargo goes by times of files, and ours may be older than the empty crates that they replace.
RUN find shared producer sink-connector -name '*.rs' -exec touch {} + \
    && SINK_REVISION="${REVISION:-unknown}" cargo build --locked --release -p sink-connector -p producer \
    && cp target/*/release/sink-connector target/*/release/producer /out/

# The default, which buildah 1.28 (Debian 12) forgets after a stage of another platform.
FROM --platform=$TARGETPLATFORM ${RUNTIME_IMAGE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# OpenSSL was compiled with a folder of its own for roots of trust, in which there are none.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# By number, so that Kubernetes can tell that it is not root.
USER 65532:65532
# The configuration is found as in the documentation's examples: `--config config/sink-connector.toml`.
WORKDIR /usr/share/livescores

FROM runtime AS producer
LABEL org.opencontainers.image.title="producer" \
      org.opencontainers.image.description="Publishes generated IPL live scores to a Kafka topic."
COPY config/producer.toml config/
COPY --from=build /out/producer /usr/local/bin/
EXPOSE 9465
ENTRYPOINT ["/usr/local/bin/producer"]

FROM runtime AS sink-connector
LABEL org.opencontainers.image.title="sink-connector" \
      org.opencontainers.image.description="Writes the JSON records of Kafka topics to PostgreSQL tables, exactly once in effect."
COPY config/sink-connector.toml config/ipl_livescores.sql config/
COPY --from=build /out/sink-connector /usr/local/bin/
EXPOSE 9464
ENTRYPOINT ["/usr/local/bin/sink-connector"]
