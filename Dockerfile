# One image for the centre and the agent. Wheels lying in dist/wheels are used and nothing is fetched then (`make wheels`), for closed networks.
ARG BASE_IMAGE=python:3.13-slim
FROM ${BASE_IMAGE} AS build
WORKDIR /src
COPY . .
RUN python3 -m venv /opt/fleet \
 && if ls dist/wheels/*.whl >/dev/null 2>&1; then export PIP_NO_INDEX=1 PIP_FIND_LINKS=/src/dist/wheels; fi \
 && /opt/fleet/bin/pip install --no-cache-dir --require-hashes -r requirements.image.lock \
 && /opt/fleet/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/fleet/bin/pip uninstall -y -q pip

FROM ${BASE_IMAGE}
COPY --from=build /opt/fleet /opt/fleet
ENV PATH=/opt/fleet/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 FLEET_STATE_DIR=/var/lib/fleet
RUN groupadd --gid 10001 fleet && useradd --uid 10001 --gid 10001 --home-dir /var/lib/fleet --create-home fleet
USER 10001:10001
VOLUME /var/lib/fleet
ENTRYPOINT ["fleet"]
CMD ["--help"]
