# syntax=docker/dockerfile:1
# A slim image that runs `classify`, by default the HTTP service. See compose.yaml and docs/containers.md.
FROM python:3.12-slim AS build

# The default Linux build of PyTorch includes gigabytes of GPU libraries. This index has CPU builds.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/democlass \
    && /opt/democlass/bin/pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision

WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY weights weights
RUN /opt/democlass/bin/pip install '.[serve,parquet,heic]'
# Move the checkpoints out of the package, so that others can be mounted over them and the image has only one copy. The
# face detector stays: it is always the built-in one.
RUN mkdir /weights \
    && mv /opt/democlass/lib/python*/site-packages/democlass/weights/model_checkpoint.pth /weights/ \
    && mv /opt/democlass/lib/python*/site-packages/democlass/weights/best_model.pth /weights/


FROM python:3.12-slim

COPY --from=build /opt/democlass /opt/democlass
COPY --from=build /weights /weights
ENV PATH=/opt/democlass/bin:$PATH PYTHONUNBUFFERED=1 HOME=/tmp DEMOCLASS_WEIGHTS=/weights
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=9)"]
ENTRYPOINT ["classify"]
CMD ["serve", "--host", "0.0.0.0"]
