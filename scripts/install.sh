#!/usr/bin/env bash
# Install this checkout into a virtual environment of its own.
#
#   scripts/install.sh VENV [--extras dev,plots,workflow] [--unlocked] [--no-compile]
#
# VENV is created if it is not there. torch comes first, at the one version in constraints.txt, as the machine's own pip
# configuration finds it. The other packages are those of requirements/locked.txt, each checked against its hash (Linux on
# x86-64; elsewhere the versions in constraints.txt without hashes). --unlocked takes the newest that setup.py allows.
# --no-compile leaves modules to be compiled when they are first imported, which is quicker unless most of them are.
# The checkout itself is installed in place. A second run with nothing changed does nothing.
# PYTHON=/path/to/python chooses the interpreter (Python 3.10 to 3.13).
set -euo pipefail
unset PYTHONPATH

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
    echo "error: $*" >&2
    exit 2
}

say() {
    echo "install: $*"
}

supported() { # whether this interpreter runs and is of a supported version
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))' 2>/dev/null
}

makes_environments() { # whether this interpreter has what virtual environments are made with
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

no_environments() {
    fail "$1 cannot make virtual environments; install its venv package (Debian: apt-get install python3-venv)."
}

builds_fairseq() { # refuse an interpreter that cannot build it, before anything is fetched
    local headers
    headers=$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    { command -v "${CXX:-c++}" && [ -e "$headers/Python.h" ]; } >/dev/null && return
    fail "for $("$1" --version) fairseq is built from source, with a C++ compiler and Python's headers, which are not there;" \
        "install them (Debian: apt-get install g++ python3-dev), or set PYTHON to a Python 3.11 or 3.12 (Linux on x86-64)."
}

find_python() {
    local candidate without=''
    if [ -n "${PYTHON:-}" ]; then
        supported "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.10, 3.11, 3.12 or 3.13; name one that is."
        makes_environments "$PYTHON" || no_environments "$PYTHON"
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.11 python3.12 python3.13 python3.10 "$HOME"/.pyenv/versions/3.1[0-3].*/bin/python; do
        if candidate=$(command -v "$candidate") && supported "$candidate"; then
            if makes_environments "$candidate"; then
                echo "$candidate"
                return
            fi
            without=${without:-$candidate}
        fi
    done
    [ -z "$without" ] || no_environments "$without"
    fail "no Python 3.10, 3.11, 3.12 or 3.13 was found; install one (Debian: apt-get install python3 python3-venv) or set PYTHON."
}

venv='' extras='' locked=1 compile=()
while [ $# -gt 0 ]; do
    case $1 in
        --extras) [ $# -ge 2 ] || fail "--extras needs a list such as dev,workflow."; extras=$2; shift ;;
        --extras=*) extras=${1#*=} ;;
        --unlocked) locked=0 ;;
        --no-compile) compile=(--no-compile) ;;
        -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
        -*) fail "unknown option $1; see scripts/install.sh --help." ;;
        *) [ -z "$venv" ] || fail "one folder for the environment, not both $venv and $1."; venv=$1 ;;
    esac
    shift
done
[ -n "$venv" ] || fail "name the folder of the environment: scripts/install.sh VENV."
[[ $venv == /* ]] || venv=$PWD/$venv
venv=${venv%/}
[[ ${PYTHON:-} != [!/]*/* ]] || PYTHON=$PWD/$PYTHON
for extra in ${extras//,/ }; do
    grep -q "^ *\"$extra\": \[" "$ROOT/setup.py" || fail "there is no extra called $extra; setup.py has them all."
    [ "$locked" = 0 ] || [ -e "$ROOT/requirements/locked-$extra.txt" ] ||
        fail "the extra $extra has no locked versions; give it an environment of its own with --unlocked."
done

cd "$ROOT"
mkdir -p "$(dirname "$venv")" || fail "cannot make the folder of $venv; choose another place."

set_up() {
    inputs=(setup.py pyproject.toml constraints.txt requirements/*.txt scripts/install.sh ednd_nmt/version.py)
    stamp=$venv/ednd-nmt.installed
    wanted=$(sha256sum "${inputs[@]}" && echo "checkout $ROOT" && echo "extras $extras" && echo "locked $locked")
    if [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        say "$venv is up to date"
        exit 0
    fi

    python=''
    if ! supported "$venv/bin/python"; then
        python=$(find_python)
    elif ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        # Its making was interrupted; what is there fits only the interpreter that it was begun with.
        python=$("$venv/bin/python" -c 'import os, sys; print(os.path.realpath(sys.executable))')
        makes_environments "$python" || no_environments "$python"
    fi
    interpreter=${python:-$venv/bin/python}
    system=$("$interpreter" -c 'import platform; print(platform.system(), platform.machine())')
    wheels=$("$interpreter" -c 'import sys; print((3, 11) <= sys.version_info[:2] < (3, 13))') # of fairseq, as in setup.py
    [ "$system, $wheels" = "Linux x86_64, True" ] || builds_fairseq "$interpreter"
    if [ -n "$python" ]; then
        say "creating $venv with $("$python" --version)"
        "$python" -m venv "$venv"
    fi
    rm -f "$stamp"
    pip=("$venv/bin/python" -m pip --disable-pip-version-check)
    constraints=(--constraint constraints.txt)
    [ "$locked" = 1 ] || constraints=()

    torch=$(grep '^torch==' constraints.txt)
    say "installing $torch (a build for the CPU takes 200 MB, one for NVIDIA cards several GB)"
    "${pip[@]}" install --quiet --quiet "${compile[@]}" "${constraints[@]}" "$torch"

    isolation=()
    if [ "$system, $wheels" != "Linux x86_64, True" ]; then
        # fairseq is then built from source, against the torch just installed: an isolated build would fetch another one.
        say "installing what fairseq is built with"
        "${pip[@]}" install --quiet --quiet "${compile[@]}" "${constraints[@]}" setuptools wheel cython numpy
        isolation=(--no-build-isolation)
    fi
    say "installing the other packages"
    if [ "$locked" = 1 ] && [ "$system" = "Linux x86_64" ]; then
        files=(--requirement requirements/locked.txt)
        for extra in ${extras//,/ }; do
            files+=(--requirement "requirements/locked-$extra.txt")
        done
        "${pip[@]}" install --quiet --quiet "${compile[@]}" --require-hashes --no-deps "${isolation[@]}" "${files[@]}"
    fi
    "${pip[@]}" install --quiet --quiet "${compile[@]}" "${isolation[@]}" "${constraints[@]}" --editable ".${extras:+[$extras]}"

    "$venv/bin/python" - <<'PYTHON'
import logging

logging.disable(logging.WARNING)
import ednd_nmt
import fairseq
import torch

print(f"install: ednd-nmt {ednd_nmt.__version__}, fairseq {fairseq.__version__}, torch {torch.__version__}")
PYTHON
    echo "$wanted" >"$stamp"
    say "done: $venv"
}

# One at a time into an environment; who may write no lock there may write no environment either, but have one.
if command -v flock >/dev/null && { exec 8>>"$venv.lock"; } 2>/dev/null; then
    flock --nonblock 8 || {
        say "waiting for another installation into $venv"
        flock 8 || true # a file system that knows no locks
    }
    set_up 8>&- # no process that it starts keeps the lock
else
    set_up
fi
