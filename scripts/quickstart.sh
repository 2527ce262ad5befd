#!/usr/bin/env bash
# The whole job on real text, from nothing: an ensemble, its student, and what both know of their own uncertainty.
#
#   bash scripts/quickstart.sh [--profile NAME] [--members M] [--out DIR]
#
#   --profile NAME   quick (default): LibreOffice help, three small members, two CPU cores; full: all of the Debian
#                    documentation, larger models, a GPU (examples/debian_ende/config/NAME.yaml)
#   --members M      number of members, in place of the profile's
#   --out DIR        where everything goes (default: runs/NAME in this checkout)
#
# It makes its own virtual environment (.venv in this checkout, or $EDND_NMT_VENV), uses all cores of this machine and
# its NVIDIA GPU if there is one. Interrupted or killed, it goes on where it was when it is run again.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
    echo "error: $*" >&2
    exit 2
}

profile=quick members='' out=''
while [ $# -gt 0 ]; do
    case $1 in
        --profile | --members | --out)
            [ $# -ge 2 ] || fail "$1 needs a value; see scripts/quickstart.sh --help."
            printf -v "${1#--}" %s "$2"
            shift
            ;;
        -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
        *) fail "unknown argument $1; see scripts/quickstart.sh --help." ;;
    esac
    shift
done
workflow=$ROOT/examples/debian_ende
config=$workflow/config/$profile.yaml
[[ $profile != */* && -f $config ]] || fail "there is no profile $profile; there are: $(cd "$workflow/config" && echo *.yaml | sed 's/\.yaml//g')."
said=--members
if [ -z "$members" ]; then
    members=$(sed -n 's/^members:[[:space:]]*\([^[:space:]#]*\).*/\1/p' "$config")
    said="members in $config"
fi
[[ $members =~ ^[1-9][0-9]*$ ]] || fail "$said needs a whole number from 1, not ${members:-nothing}."
mkdir -p "${out:=$ROOT/runs/$profile}" 2>/dev/null && [ -w "$out" ] || fail "cannot write to $out; choose another folder with --out."
out=$(cd "$out" && pwd)
shown=${out#"$PWD"/}

exec 9>>"$out/.lock"
flock --nonblock 9 ||
    fail "another run is at work in $out (process $(cat "$out/.lock")); wait for it, or choose another --out."
echo $$ >"$out/.lock"

venv=${EDND_NMT_VENV:-$ROOT/.venv}
[[ $venv == /* ]] || venv=$PWD/$venv
bash "$ROOT/scripts/install.sh" "$venv" --extras plots,workflow
export PATH="$venv/bin:$PATH" PYTHONPATH='' PYTHONWARNINGS=ignore PYTHONUTF8=1 # text is UTF-8 in whatever locale

# As many jobs as cores, or a few more, so that the members are trained in waves of the same size. How many threads a job
# may have, which nproc obeys, is another matter.
cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
jobs=$cores
if [ "$members" -gt "$cores" ]; then
    waves=$((members / cores))
    jobs=$(((members + waves - 1) / waves))
fi
gpu=$("$venv/bin/python" -c 'import torch; print(str(torch.cuda.is_available()).lower())')
if [ "$gpu" = true ]; then
    echo "quickstart: $members members on the GPU; results in $shown"
else
    echo "quickstart: $members members on $cores CPU cores, no GPU; results in $shown"
fi

# Jobs side by side have the memory that is free, together; one that asks for more than that runs alone.
resources=(gpu=1)
memory=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo 2>/dev/null) || true
[ -z "$memory" ] || resources+=("mem_mb=$((memory / 1024))")

run_workflow() ( # the process of this subshell becomes Snakemake: whoever finds the lock learns its number
    echo "$BASHPID" >"$out/.lock"
    # The lock above keeps two runs apart; Snakemake's own would outlive a killed one.
    exec "$venv/bin/python" -m snakemake --snakefile "$workflow/Snakefile" --configfile "$config" \
        --config "members=$members" "gpu=$gpu" --directory "$out" --cores "$jobs" --resources "${resources[@]}" \
        --scheduler greedy --rerun-incomplete --nolock "$@"
)

start=$SECONDS
status=0
run_workflow --quiet all || status=$?
[ "$status" != 2 ] || exit 2 # the configuration was refused, and the reason said
if [ "$status" != 0 ]; then
    # A stage that failed has said so; what Snakemake itself stumbled over, it says to this question only.
    run_workflow --dry-run >"$out/plan.txt" 2>&1 || tail -n 20 "$out/plan.txt" >&2
    echo "quickstart: not finished; the logs are in $out/logs. Run the same command again to go on from here." >&2
    exit 1
fi

echo
cat "$out/table.txt"
echo
echo "All is done ($(((SECONDS - start) / 60)) min in this run)."
echo "  report            $shown/report.html"
echo "  results           $shown/results.json"
echo "  models            $shown/members/*/model.pt, $shown/student/model.pt"
echo "  uncertainties     $shown/translations/<system>/<set>.jsonl"
echo "  acting on them    $shown/acting/<system>/calibrator.json, decision.json, payoff.{txt,json}"
echo "  logs              $shown/logs"
echo "  your own text     $(printf '%q translate --model %q' "${venv#"$PWD"/}/bin/ednd-nmt" "$shown/student") < your.txt"
