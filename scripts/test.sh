#!/usr/bin/env bash
# Every check of this project: style, types and all tests, in a virtual environment of their own.
#
#   bash scripts/test.sh [ARGUMENTS OF PYTEST]
#
# The environment is .venv-test in this checkout, or $EDND_NMT_TEST_VENV.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${EDND_NMT_TEST_VENV:-$ROOT/.venv-test}
bash "$ROOT/scripts/install.sh" "$venv" --extras dev,plots,workflow
cd "$ROOT"
# One thread: the threads of processes side by side would spin against each other.
export PATH="$venv/bin:$PATH" PYTHONPATH='' OMP_NUM_THREADS=1

step() {
    echo "== $*"
    "$@"
}

step python -m ruff check .
step python -m ruff format --check .
step python -m mypy
if [ $# -gt 0 ] || [ "$(nproc)" -lt 2 ]; then
    step python -m pytest "$@"
    exit
fi

# Hardly a test uses more than one core: the two halves run side by side, and the second is shown when the first has ended.
log=$(mktemp)
status=0
echo "== python -m pytest --ignore tests/system, and beside it python -m pytest tests/system, which is shown after it"
python -m pytest tests/system >"$log" 2>&1 &
second=$!
trap 'kill $second 2>/dev/null || true; rm -f "$log"' EXIT
python -m pytest --ignore tests/system || status=$?
tail --pid=$second --lines=+1 --follow "$log"
wait $second || status=$?
exit $status
