#!/bin/sh
# Starts one command of `rag` with a home that can be written. Beyond loopback rag serve makes a first key and prints it once.
set -eu
home="${RAG_HOME:-/data}"
if ! mkdir -p "$home" 2>/dev/null || [ ! -w "$home" ]; then
    echo "entrypoint: $home cannot be written by user $(id -u): mount a volume there, or set RAG_HOME" >&2
    exit 1
fi
exec rag "$@"
