# DOCKER_BUILDKIT=1 docker build -t haca3 --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu .   (CPU)
# DOCKER_BUILDKIT=1 docker build -t haca3:cuda .                                             (CUDA, from PyPI's wheels)
# Both secrets are for builds behind a proxy and may be left out; nothing of them stays in the image. Wheels in a folder
# "wheels" are preferred to the index's where pip.conf says "find-links = /src".

FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX_URL=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/haca3/venv
COPY setup.cfg constraints.txt wheel[s]/* /src/
# What the package needs comes first, in a layer that a change of the code leaves as it is.
RUN --mount=type=secret,id=pipconf,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/run/host-ca.crt \
    python3 -c "from configparser import ConfigParser as C; c = C(); c.read('/src/setup.cfg'); \
        print(c['options']['install_requires'], c['options.extras_require']['openvino'])" > /src/requirements.txt \
    && PIP_EXTRA_INDEX_URL="$TORCH_INDEX_URL" \
        /opt/haca3/venv/bin/pip install -r /src/requirements.txt -c /src/constraints.txt \
    && cd /opt/haca3/venv/lib/python3*/site-packages && rm -rf torch/test torch/include \
    && find torch/bin -type f ! -name torch_shm_manager -delete \
    && find . -type d -name tests -prune -exec rm -rf {} +
RUN --mount=type=bind,target=/package,rw \
    --mount=type=secret,id=pipconf,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/run/host-ca.crt \
    /opt/haca3/venv/bin/pip install --no-deps /package \
    && install -D -m 644 -t /opt/haca3 /package/LICENSE /package/NOTICE /package/CITATION.cff \
    && /opt/haca3/venv/bin/pip list --format=freeze > /opt/haca3/packages.txt \
    && /opt/haca3/venv/bin/pip check
# The default template comes along when it can be fetched; without a network the image has the built-in one only.
RUN --mount=type=secret,id=ca,target=/run/host-ca.crt \
    mkdir -p /opt/haca3/templateflow /opt/haca3/weights \
    && if [ -s /run/host-ca.crt ]; then export REQUESTS_CA_BUNDLE=/run/host-ca.crt; fi \
    && if HOME=/tmp TEMPLATEFLOW_HOME=/opt/haca3/templateflow timeout 600 /opt/haca3/venv/bin/python -c \
        "from haca3_bids.preprocessing.template import DEFAULT, check_template; check_template(DEFAULT)"; \
    then echo "MNI152NLin2009cSym is in the image"; \
    else echo "MNI152NLin2009cSym could not be fetched; mount it at /opt/haca3/templateflow"; fi \
    && find /opt/haca3/templateflow -mindepth 1 -maxdepth 1 ! -name tpl-MNI152NLin2009cSym -exec rm -rf {} + \
    && find /opt/haca3/templateflow -type f -size 0 -delete

FROM python:3.11-slim-bookworm
COPY --from=build /opt/haca3 /opt/haca3
RUN ln -s /opt/haca3/venv/bin/haca3 /opt/haca3/venv/bin/haca3-bids /usr/local/bin/ \
    && dpkg-query -W > /opt/haca3/packages-debian.txt
ENV HACA3_HOME=/opt/haca3/weights \
    TEMPLATEFLOW_HOME=/opt/haca3/templateflow \
    TEMPLATEFLOW_AUTOUPDATE=0 \
    PYTHONNOUSERSITE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NO_ET=1
ENTRYPOINT ["haca3-bids"]
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="haca3_bids" \
      org.opencontainers.image.description="BIDS App: MR image harmonization, following HACA3" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.authors="The haca3_bids developers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.11-slim-bookworm" \
      org.opencontainers.image.documentation="https://doi.org/10.1016/j.compmedimag.2023.102285"
