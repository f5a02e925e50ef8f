# docker build -t haca3 --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu .   (CPU)
# docker build -t haca3:cuda .                                                              (CUDA, from PyPI's wheels)
# Both secrets are for builds behind a proxy and may be left out; nothing of them stays in the image.

FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX_URL=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/haca3/venv
RUN --mount=type=bind,target=/src,rw \
    --mount=type=secret,id=pipconf,target=/etc/pip.conf \
    --mount=type=secret,id=ca,target=/run/host-ca.crt \
    PIP_EXTRA_INDEX_URL="$TORCH_INDEX_URL" \
    /opt/haca3/venv/bin/pip install /src -c /src/constraints.txt \
    && install -D -m 644 -t /opt/haca3 /src/LICENSE /src/NOTICE /src/CITATION.cff \
    && /opt/haca3/venv/bin/pip list --format=freeze > /opt/haca3/packages.txt \
    && find /opt/haca3/venv -type d -name tests -path '*/site-packages/*' -prune -exec rm -rf {} +
# The default template comes along when it can be fetched; without a network the image has the built-in one only.
RUN --mount=type=secret,id=ca,target=/run/host-ca.crt \
    mkdir -p /opt/haca3/templateflow /opt/haca3/weights \
    && if [ -s /run/host-ca.crt ]; then export REQUESTS_CA_BUNDLE=/run/host-ca.crt; fi \
    && if TEMPLATEFLOW_HOME=/opt/haca3/templateflow HOME=/tmp timeout 600 /opt/haca3/venv/bin/python -c \
        "from templateflow.api import get; get('MNI152NLin2009cSym', resolution=1, extension='.nii.gz')"; \
    then echo "MNI152NLin2009cSym is in the image"; \
    else echo "MNI152NLin2009cSym could not be fetched; mount it at /opt/haca3/templateflow"; \
        find /opt/haca3/templateflow -name '*.nii.gz' -delete; fi

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="haca3_bids" \
      org.opencontainers.image.description="BIDS App: MR image harmonization with HACA3" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.documentation="https://doi.org/10.1016/j.compmedimag.2023.102285"
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
