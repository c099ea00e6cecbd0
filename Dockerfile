# The images of both binaries: `docker build --target sink-connector .`, `docker build --target producer .`
#
# The binaries are static; each final image contains one of them, CA certificates and time zones. They use glibc instead of musl,
# because librdkafka and the batches allocate often, and musl's allocator is slow. Host names are looked up in files and by DNS, which
# glibc does without shared libraries since 2.34. Other sources of an nsswitch.conf would need shared libraries.
#
# With `--build-arg VARIANT=kerberos-oidc`, the binaries can also log in to Kafka with Kerberos (GSSAPI) and OIDC. The libraries for that
# cannot be part of a static binary: they are copied from the builder's Debian. Such an image is for the builder's own architecture.

# The same version as in rust-toolchain.toml.
ARG RUST_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/static-debian12:nonroot
# static | kerberos-oidc
ARG VARIANT=static

# The build always runs on the builder's own architecture, and cross-compiles if the image is for another one. Nothing is emulated.
FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS build
# The image's architecture. Unset: that of the builder.
ARG TARGETARCH
ARG VARIANT
WORKDIR /src
# The profile of the sink (`make profile`), if there is one: the compiler optimises for what it shows. The manifest is only there
# because COPY needs a file.
COPY Cargo.toml release.profdat[a] /profile/
# OpenSSL and librdkafka are compiled from source. They need make and a full perl. librdkafka's configure reads CC and CXX and also
# requires a C++ compiler, although no C++ is compiled.
# hadolint ignore=DL3008
RUN own=$(dpkg --print-architecture) && target=${TARGETARCH:-$own} \
    && case $target in \
        amd64) cpu=x86_64 compiler=g++-x86-64-linux-gnu ;; \
        arm64) cpu=aarch64 compiler=g++-aarch64-linux-gnu ;; \
        *) echo "TARGETARCH is $target: the images are for amd64 and arm64" >&2; exit 1 ;; \
    esac \
    && if [ "$target" = "$own" ]; then compiler=g++; fi \
    && triple=$cpu-unknown-linux-gnu gnu=$cpu-linux-gnu \
    && set -- "$compiler" make perl \
    && case $VARIANT in \
        static) flags="'-Ctarget-feature=+crt-static'" features= ;; \
        kerberos-oidc) \
            # The base image may have no /lib64.
            loader=$(basename "$(ls /lib/$gnu/ld-linux-*)") \
            && flags="'-Clink-arg=-Wl,--dynamic-linker=/usr/lib/$gnu/$loader'" features=' --features gssapi,oidc' \
            && set -- "$@" pkg-config libcurl4-openssl-dev libsasl2-dev libsasl2-modules-gssapi-mit \
            && [ "$target" = "$own" ] || { echo "VARIANT=$VARIANT: only for $own, the builder's architecture" >&2; exit 1; } ;; \
        *) echo "VARIANT is $VARIANT: static or kerberos-oidc" >&2; exit 1 ;; \
    esac \
    && if [ -f /profile/release.profdata ]; then flags="$flags, '-Cprofile-use=/profile/release.profdata'"; fi \
    && apt-get update \
    && apt-get install --yes --no-install-recommends "$@" \
    && rm -rf /var/lib/apt/lists/* \
    && { [ -d "$(rustc --print target-libdir --target "$triple")" ] || rustup target add "$triple"; } \
    && mkdir .cargo /out \
    && printf '%s\n' '[build]' "target = '$triple'" "[target.$triple]" "linker = '$gnu-gcc'" \
        "rustflags = [$flags]" \
        '[alias]' "binaries = 'build --locked --release -p sink-connector -p producer$features'" \
        '[env]' "CC = '$gnu-gcc'" "CXX = '$gnu-g++'" "AR = '$gnu-ar'" >.cargo/config.toml
# For a static binary, openssl-src passes -static to OpenSSL's Configure, which then leaves threads out: two threads that loaded
# certificates at the same time corrupted the heap.
RUN printf '%s\n' '#!/bin/sh' 'for argument do shift; [ "$argument" = -static ] || set -- "$@" "$argument"; done' 'exec perl "$@"' \
        >/usr/local/bin/perl-for-openssl \
    && chmod +x /usr/local/bin/perl-for-openssl
ENV LIBZ_SYS_STATIC=1 \
    OPENSSL_SRC_PERL=perl-for-openssl \
    CARGO_PROFILE_RELEASE_DEBUG=none \
    CARGO_PROFILE_RELEASE_STRIP=debuginfo

# The dependencies are a layer of their own, which changes only with the manifests and the lock file: this project's crates are empty
# here. Cargo needs every member of the workspace, including `tests`, which is not built.
COPY Cargo.toml Cargo.lock ./
COPY shared/Cargo.toml shared/
COPY producer/Cargo.toml producer/
COPY sink-connector/Cargo.toml sink-connector/
COPY tests/Cargo.toml tests/
RUN mkdir -p shared/src producer/src sink-connector/src tests/src tests/tests/it tests/tests/cluster \
    && touch shared/src/lib.rs producer/src/lib.rs sink-connector/src/lib.rs tests/src/lib.rs \
    && echo 'fn main() {}' | tee producer/src/main.rs sink-connector/src/main.rs tests/tests/it/main.rs tests/tests/cluster/main.rs >/dev/null \
    && cargo binaries \
    && { grep -rq pthread_rwlock target/*/release/build/openssl-sys-*/out/openssl-build/install/lib* \
        || { echo "OpenSSL was built without threads" >&2; exit 1; }; }

COPY config config
# The binaries serve it.
COPY docs/runbook.md docs/
COPY shared shared
COPY producer producer
COPY sink-connector sink-connector
# The commit; shown by `sink_build_info`.
ARG REVISION=
# Cargo compares file times, and the sources may be older than the empty crates that they replace.
RUN find shared producer sink-connector -name '*.rs' -exec touch {} + \
    && SINK_REVISION="${REVISION:-unknown}" cargo binaries \
    && cp target/*/release/sink-connector target/*/release/producer /out/
# The shared libraries, and what scanners and licences need to know of them, as distroless images have it: a file for each package.
RUN set -e; mkdir -p /out/root; if [ "$VARIANT" != static ]; then \
        folder=/usr/lib/$(uname -m)-linux-gnu; packages=/out/root/var/lib/dpkg/status.d; plugin=$folder/sasl2/libgssapiv2.so.2; \
        mkdir -p "/out/root$folder/sasl2" "$packages"; \
        ln -s ../libgssapiv2.so.2 "/out/root$folder/sasl2/libgssapiv2.so"; \
        { echo "$plugin"; ldd /out/sink-connector /out/producer "$plugin"; } \
            | awk '$2 == "=>" { print $3; next } match($1, /^\/[^:]*$/) { print $1 }' | sort -u >/out/libraries; \
        while read -r library; do \
            cp -L "$library" "/out/root$folder/"; \
            package=$(dpkg -S "*/$(basename "$library")" | sed -n '1s/:.*//p'); \
            dpkg -s "$package" >"$packages/$package"; \
            mkdir -p "/out/root/usr/share/doc/$package"; \
            cp "/usr/share/doc/$package/copyright" "/out/root/usr/share/doc/$package/"; \
        done </out/libraries; \
    fi

# This is the default, but buildah 1.28 (Debian 12) loses it after a stage with another platform.
FROM --platform=$TARGETPLATFORM ${RUNTIME_IMAGE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=
ARG SOURCE=
LABEL org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
# The compiled-in folder of OpenSSL contains no CA certificates.
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# Kerberos tickets stay in memory: the root file system may be read-only.
ENV KRB5CCNAME=MEMORY:livescores
# By number, so that Kubernetes can verify that it is not root.
USER 65532:65532
# So that `--config config/sink-connector.toml`, as in the documentation, works.
WORKDIR /usr/share/livescores

FROM runtime AS producer
LABEL org.opencontainers.image.title="producer" \
      org.opencontainers.image.description="Publishes generated IPL live scores to a Kafka topic."
COPY config/producer.toml config/
COPY --from=build /out/root /
COPY --from=build /out/producer /usr/local/bin/
# All addresses of the container; the default is loopback. This overrides a file: set the variable to change it.
ENV PRODUCER__HTTP__LISTEN=0.0.0.0:9465
EXPOSE 9465
HEALTHCHECK --interval=5s --timeout=6s --start-period=30s CMD ["/usr/local/bin/producer", "health"]
ENTRYPOINT ["/usr/local/bin/producer"]

FROM runtime AS sink-connector
LABEL org.opencontainers.image.title="sink-connector" \
      org.opencontainers.image.description="Writes the JSON records of Kafka topics to PostgreSQL tables, exactly once in effect."
COPY config/sink-connector.toml config/ipl_livescores.sql config/
COPY --from=build /out/root /
COPY --from=build /out/sink-connector /usr/local/bin/
# As for the producer.
ENV SINK__HTTP__LISTEN=0.0.0.0:9464
EXPOSE 9464
HEALTHCHECK --interval=5s --timeout=6s --start-period=30s CMD ["/usr/local/bin/sink-connector", "health"]
ENTRYPOINT ["/usr/local/bin/sink-connector"]
CMD ["run"]
