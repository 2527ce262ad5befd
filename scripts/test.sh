#!/usr/bin/env bash
# Every check of this project: style, types and all tests, in a virtual environment of their own.
#
#   bash scripts/test.sh [ARGUMENTS OF PYTEST]
#
# The environment is .venv-test in this checkout, or $EDND_NMT_TEST_VENV. It is done within 20 minutes: on a machine too
# slow for all of the slow tests, those that come last are skipped and named. --slow-until inf runs every one.
set -euo pipefail

until=$(($(date +%s) + 18 * 60))

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${EDND_NMT_TEST_VENV:-$ROOT/.venv-test}
[[ $venv == /* ]] || venv=$PWD/$venv
bash "$ROOT/scripts/install.sh" "$venv" --extras dev,plots,workflow --no-compile
cd "$ROOT"
# Tests of different files run side by side, one worker for each core, and each process has one thread: threads of
# processes side by side would spin against each other. Files and messages are in UTF-8 in whatever locale. A worker that
# had to be ended is not started again: it would wait for ever in the same test (pyproject.toml).
export PATH="$venv/bin:$PATH" PYTHONPATH='' OMP_NUM_THREADS=1 PYTHONUTF8=1

step() {
    echo "== $*"
    "$@"
}

step python -m ruff check .
step python -m ruff format --check .
step python -m mypy
step python -m pytest --numprocesses logical --dist loadfile --no-loadscope-reorder --max-worker-restart 0 \
    --slow-until "$until" "$@"
