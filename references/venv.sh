#!/bin/sh
# Makes `.venv` in the repository root with everything the scripts of references/ and samples/make/ need.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python3 -m venv "$root/.venv"
"$root/.venv/bin/pip" install --requirement "$root/references/requirements.txt"
