#!/usr/bin/env bash
# usage: molecule.sh <build directory> [scenario...]
# Runs molecule's scenarios (all of them when none is named), two at a time, and ends with the closing line of the tier.
# MOLECULE_ARGS="--destroy=never" keeps the hosts for a look.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=$1
shift
work=$build/molecule
secrets=Only-for-these-tests # what all passphrases and keys in the inventories begin with
failed=()
passed=0
declare -A name_of=() start_of=() # by process

scenarios=("$@")
# Those with most tests first: so none that takes long is left over for the end, where nothing runs beside it.
[ $# -gt 0 ] || mapfile -t scenarios < <(du --apparent-size --summarize molecule/*/tests | sort -rn | cut -d / -f 2)
for scenario in "${scenarios[@]}"; do
    [ -e "molecule/$scenario/molecule.yml" ] || { echo "There is no scenario $scenario in molecule/." >&2; exit 1; }
done

DOCKER_HOST=$(tests/tools/docker.sh start)
export DOCKER_HOST
mapfile -t suites < <(cd molecule && sed -nE 's/^ +(- )?suite: *//p' "${scenarios[@]/%//molecule.yml}" | sort -u)
tests/tools/images.sh build "${suites[@]}"
PGOPS_IMAGES_TAG=$(tests/tools/images.sh tag)
export PGOPS_IMAGES_TAG
export PATH=$build/hosts/bin:$PATH
export MOLECULE_GLOB='molecule/*/molecule.yml'
export NO_COLOR=1
unset ANSIBLE_FORCE_COLOR PY_COLORS FORCE_COLOR

begin() { # scenario
    rm -rf "${work:?}/$1" # molecule would leave out the steps that it remembers
    mkdir -p "$work/$1"
    # shellcheck disable=SC2086
    MOLECULE_EPHEMERAL_DIRECTORY=$work/$1 setsid timeout 1800 molecule test --scenario-name "$1" ${MOLECULE_ARGS:-} \
        >"$work/$1.log" 2>&1 </dev/null &
    name_of[$!]=$1
    start_of[$!]=$SECONDS
}

finish_one() {
    local process status=0 name line
    wait -n -p process "${!name_of[@]}" || status=$?
    name=${name_of[$process]}
    line="$name ($((SECONDS - start_of[$process])) s)"
    unset "name_of[$process]"
    if grep -F "$secrets" "$work/$name.log"; then
        echo "A secret stands in what Ansible printed."
        status=1
    fi
    if [ "$status" = 0 ]; then
        echo "ok      $line"
        passed=$((passed + 1))
    else
        cat "$work/$name.log"
        echo "FAILED  $line"
        failed+=("$name")
    fi
}

end_all() {
    local process
    for process in "${!name_of[@]}"; do kill -- "-$process" 2>/dev/null || true; done
}

trap end_all EXIT
for scenario in "${scenarios[@]}"; do
    [ "${#name_of[@]}" -lt 2 ] || finish_one
    begin "$scenario"
done
while [ "${#name_of[@]}" -gt 0 ]; do finish_one; done

if [ "${#failed[@]}" -gt 0 ]; then
    echo "molecule: ${#failed[@]} failed (${failed[*]}), $passed passed"
    exit 1
fi
echo "molecule: $passed passed"
