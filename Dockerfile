# Izhi on a CPU, for a user without privileges:
#     docker build --tag izhi .
#     docker run --rm izhi                                      # izhi demo
#     docker run --rm --volume "$PWD:/home/izhi/work" izhi izhi train --dataset digits --out work/run
FROM python:3.12-slim-bookworm

# PyPI's torch for Linux brings gigabytes of CUDA; that of this index has none.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

COPY pyproject.toml MANIFEST.in README.md LICENSE /source/
COPY src /source/src
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" /source \
    && useradd --create-home --uid 1000 izhi

USER 1000
WORKDIR /home/izhi
CMD ["izhi", "demo"]
