# Any image with Python 3.11 to 3.13, pip and the venv module. By its digest, which Renovate follows, so that what was
# tested is what is shipped; the digest is that of the index of all architectures.
ARG BASE=python:3.13-slim@sha256:9662417aace5ae7b8e2609cce472b72a8958e134ba372808abe9cc1a0c0125e6

# Python to build with and Python to run with are the same image, so that the environment of the first fits the second.
FROM ${BASE} AS build

# Without pip in it: the image that serves can install nothing.
RUN python3 -m venv --without-pip /opt/dnsserver
COPY requirements.lock /build/
# Hashes for every file, and no source packages: those would be built with tools that no hash covers.
RUN python3 -m pip --python /opt/dnsserver/bin/python install \
        --no-cache-dir --no-compile --require-hashes --only-binary :all: -r /build/requirements.lock
# Of the package kubernetes kube.loader runs how to reach an API server; its clients, one class for each kind and version
# of all of Kubernetes, would be two thirds of this image (135 of 194 MiB). tests/e2e/test_image.py has the loader run.
RUN cd "$(/opt/dnsserver/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/kubernetes" && \
    rm -r aio && find client/api client/models -type f ! -name __init__.py -delete
COPY dnsserver /build/dnsserver
# Compiled now, because a read-only root cannot be compiled into later, and checked by hash, because a copy of the layer
# may change the times of files. The command is for `kubectl exec`.
RUN mv /build/dnsserver "$(/opt/dnsserver/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" && \
    /opt/dnsserver/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/dnsserver/lib && \
    printf '#!/bin/sh\nexec /opt/dnsserver/bin/python -m dnsserver "$@"\n' > /opt/dnsserver/bin/dnsserver && \
    chmod 755 /opt/dnsserver/bin/dnsserver && \
    chmod -R a+rX /opt/dnsserver


FROM ${BASE}

# Where they are known: `docker build --build-arg VERSION=... --build-arg REVISION=...`, as a release does.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="dnsserver" \
      org.opencontainers.image.description="A Kubernetes cluster DNS server in Python on trio" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=build /opt/dnsserver /opt/dnsserver
COPY LICENSE /srv/dnsserver/
# `serve` reads zones/dnsserver.toml of the folder it runs in, if no flag names another file.
COPY zones/dnsserver.toml /srv/dnsserver/zones/
# COPY keeps the modes of the checkout; whatever its umask was, the user below can read all of it.
RUN chmod -R a+rX /srv/dnsserver
WORKDIR /srv/dnsserver

# SAFEPATH: nothing that is mounted into the working folder can become a module.
ENV PATH=/opt/dnsserver/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1

# A number, because `runAsNonRoot` cannot judge a name. Port 53 is free to it where net.ipv4.ip_unprivileged_port_start is
# 0: Docker sets that in each container's own network, and manifests/ in each pod's. Not by a file capability on the
# interpreter: `no_new_privs` ignores it, and without the capability in the bounding set exec fails.
USER 65532:65532
EXPOSE 53/udp 53/tcp 8053/tcp
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "dnsserver"]
CMD ["serve"]
