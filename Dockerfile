# Izhi on a CPU, for a user without privileges:
#     docker build --tag izhi .
#     docker run --rm izhi                                      # izhi demo
#     docker run --rm --volume "$PWD:/home/izhi/work" izhi izhi train --dataset digits --out work/run
FROM python:3.12-slim-bookworm

# torch for Linux brings gigabytes of CUDA, but not from the index for CPUs that PyTorch's page "Get started" names:
#     docker build --build-arg TORCH_INDEX=ADDRESS --tag izhi .
ARG TORCH_INDEX=

COPY pyproject.toml MANIFEST.in README.md LICENSE /source/
COPY src /source/src
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} /source \
    && useradd --create-home --uid 1000 izhi

USER 1000
WORKDIR /home/izhi
CMD ["izhi", "demo"]
