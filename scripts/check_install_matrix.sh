#!/usr/bin/env bash
# Check that the package installs and trains, as a user would do it, on every supported Python that this machine has.
#
#   scripts/check_install_matrix.sh [--quick] [FOLDER]
#
# For each Python: the pip that comes with it and the newest one; a wheel and a source archive; each time a fresh virtual
# environment outside the checkout, dependencies as pip resolves them, and stock fairseq-preprocess, fairseq-train and
# fairseq-generate with --user-dir. torch, which takes by far the most room and time, is installed once for each Python.
# --quick: only the Python that `python3` is, its own pip with the wheel and the newest pip with the source archive.
# FOLDER (default: a temporary one, removed at the end) keeps the environments, so that a second run is faster.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export OMP_NUM_THREADS=1 PIP_DISABLE_PIP_VERSION_CHECK=1
unset PYTHONPATH

quick=0 folder=''
for argument in "$@"; do
    case $argument in
        --quick) quick=1 ;;
        -*) echo "error: unknown option $argument" >&2; exit 2 ;;
        *) folder=$argument ;;
    esac
done
if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
torch=$(grep '^torch==' "$ROOT/constraints.txt")

pythons() { # one path for each of 3.10 to 3.13 that is there
    local version candidate
    if [ "$quick" = 1 ]; then
        command -v "${PYTHON:-python3}"
        return
    fi
    for version in 3.10 3.11 3.12 3.13; do
        for candidate in "python$version" "$HOME/.pyenv/versions/$version".*/bin/python; do
            if candidate=$(command -v "$candidate") && "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
                echo "$candidate"
                break
            fi
        done
    done
}

base_environment() { # PYTHON ENV: torch and what fairseq is built with, once for each version of torch
    [ "$(cat "$2/ready" 2>/dev/null)" = "$torch" ] && return
    rm -f "$2/ready"
    "$1" -m venv "$2"
    "$2/bin/pip" install --quiet "$torch"
    "$2/bin/pip" install --quiet setuptools wheel cython numpy
    echo "$torch" >"$2/ready"
}

fresh_environment() { # BASE ENV PIP: an empty environment that sees the packages of BASE
    rm -rf "$2"
    "$1/bin/python" -m venv "$2"
    "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
        >"$("$2/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth"
    [ "$3" = "own" ] || "$2/bin/python" -m pip install --quiet --upgrade pip
}

archives() { # PYTHON: a wheel and a source archive of the checkout, in $folder/dist
    local source=$folder/source builder=$folder/builder
    rm -rf "$source" "$folder/dist"
    mkdir -p "$source"
    (cd "$ROOT" && cp -r ednd_nmt setup.py pyproject.toml LICENSE "$source" && cp README.md "$source" 2>/dev/null || true)
    [ -x "$builder/bin/python" ] || "$1" -m venv "$builder"
    "$builder/bin/pip" install --quiet build
    "$builder/bin/python" -m build --outdir "$folder/dist" "$source" >"$folder/build.log" 2>&1
}

text() { # FILE COUNT: reversed sequences of letters, the same ones at every run
    awk -v name="$1" -v count="$2" 'BEGIN {
        srand(count)
        for (line = 0; line < count; line++) {
            source = target = ""
            for (position = 0; position < 5; position++) {
                letter = sprintf("%c", 97 + int(rand() * 10))
                source = source " " letter
                target = letter " " target
            }
            print substr(source, 2) > (name ".en")
            print target > (name ".de")
        }
    }'
}

smoke() { # ENV: stock fairseq with --user-dir, in an empty folder
    local work=$1/smoke bin=$1/bin user_dir
    mkdir -p "$work"
    cd "$work"
    user_dir=$("$bin/ednd-nmt" user-dir)
    text train 200
    text valid 7
    text test 11
    "$bin/fairseq-preprocess" -s en -t de --trainpref train --validpref valid --testpref test --joined-dictionary \
        --destdir data
    "$bin/fairseq-train" data --arch transformer --encoder-layers 1 --decoder-layers 1 --encoder-embed-dim 16 \
        --decoder-embed-dim 16 --encoder-ffn-embed-dim 16 --decoder-ffn-embed-dim 16 --optimizer adam --lr 0.01 \
        --max-tokens 500 --max-update 8 --share-all-embeddings --cpu --save-dir member --user-dir "$user_dir"
    "$bin/fairseq-train" data --arch dirichlet_transformer_tiny --task distillation --ensemble-paths member/checkpoint_last.pt \
        --criterion rkl_dirichlet_proxy_distillation --target-concentration mkl --optimizer adam --lr 0.01 \
        --max-tokens 500 --max-update 8 --share-all-embeddings --cpu --save-dir student --user-dir "$user_dir"
    "$bin/fairseq-generate" data --path student/checkpoint_last.pt --task distillation --user-dir "$user_dir" --cpu \
        --uncertainty-output test.jsonl >generated.txt
    [ "$(grep -c ^H- generated.txt)" = 11 ]
    [ "$(wc -l <test.jsonl)" = 12 ] # a header and the 11 sentences
}

passed=0 failed=0
check() { # PYTHON PIP ARCHIVE
    local base environment version system name log status isolation=()
    version=$("$1" -c 'import sys; print(*sys.version_info[:2], sep=".")')
    base=$folder/base-$version
    name="Python $version, $2 pip, $3"
    environment=$folder/check-$version-$2-$3
    system=$("$1" -c 'import platform, sys; print(platform.system(), platform.machine(), (3, 11) <= sys.version_info[:2] < (3, 13))')
    [ "$system" = "Linux x86_64 True" ] || isolation=(--no-build-isolation) # as in install.sh
    log=$folder/check-$version-$2-$3.log
    set +e # not `if (...)`: inside a condition, the shell would go on after a failure
    (
        set -e
        base_environment "$1" "$base"
        fresh_environment "$base" "$environment" "$2"
        "$environment/bin/python" -m pip install "${isolation[@]}" "$folder"/dist/ednd_nmt-*"$3"
        smoke "$environment"
    ) >"$log" 2>&1
    status=$?
    set -e
    if [ "$status" = 0 ]; then
        echo "passed: $name ($("$environment/bin/python" -m pip --version | cut -d' ' -f1,2))"
        passed=$((passed + 1))
    else
        echo "FAILED: $name; the end of its log:"
        tail -n 15 "$log"
        failed=$((failed + 1))
    fi
    rm -rf "$environment"
}

mapfile -t found < <(pythons)
[ ${#found[@]} -gt 0 ] || { echo "error: no Python 3.10, 3.11, 3.12 or 3.13 with the module venv was found." >&2; exit 2; }
archives "${found[0]}"
for python in "${found[@]}"; do
    check "$python" own .whl
    check "$python" newest .tar.gz
    if [ "$quick" = 0 ]; then
        check "$python" own .tar.gz
        check "$python" newest .whl
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
