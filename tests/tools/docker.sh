#!/usr/bin/env bash
# usage: docker.sh start | stop
# start  prints the DOCKER_HOST of an engine that answers: the one that runs already, or one of our own that lives in
#        $PGOPS_TOOLS_DIR/docker (data, socket, log) and touches no other. It goes on running until `stop`.
# stop   ends our own engine with all that it holds; from another one it takes away only what the tests put there.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
own=${PGOPS_TOOLS_DIR:?}/docker
label=pgops.pgbackrest.tests
unit=pgops-pgbackrest-docker
export PATH=$PATH:/usr/sbin:/sbin

fail() {
    echo "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

answers() { # DOCKER_HOST
    command -v docker >/dev/null && DOCKER_HOST=$1 docker version >/dev/null 2>&1
}

has_systemd() {
    [ -d /run/systemd/system ]
}

# The engine that the user's own settings lead to.
users_engine() {
    echo "${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null || true)}"
}

runs() { # the process of our own engine
    [ "$(cat "/proc/$1/comm" 2>/dev/null)" = dockerd ]
}

own_process() {
    as_root cat "$own/pid" 2>/dev/null || true
}

# Docker leaves some behind.
unmount() {
    local place
    awk -v below="$own/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r | while read -r place; do
        as_root umount "$place"
    done
}

# An engine that was killed leaves process numbers behind. A new one does not start when others have them by now.
forget_killed_engine() {
    ! runs "$(own_process)" || return 0
    unmount
    as_root rm -rf "$own/pid" "$own/run"
}

launch() {
    local log=$own/log
    local dockerd=(
        "$(command -v dockerd)" --host "unix://$own/socket" --group "$(id -gn)" --bridge none
        --data-root "$own/data" --exec-root "$own/run" --pidfile "$own/pid"
        # Addresses for tests (RFC 2544): an engine that ended leaves firewall rules that hide who connects from its own.
        --default-address-pool "base=198.18.0.0/15,size=24"
    )
    "$here/own_directory.sh"
    as_root mkdir -p "$own"
    as_root chmod 0711 "$own"
    forget_killed_engine
    if has_systemd; then
        as_root systemd-run --quiet --collect --unit "$unit" --property Delegate=yes --property KillMode=mixed \
            --property "StandardOutput=append:$log" --property "StandardError=append:$log" "${dockerd[@]}"
    else
        # shellcheck disable=SC2016
        as_root setsid sh -c 'log=$1; shift; exec "$@" >"$log" 2>&1' sh "$log" "${dockerd[@]}" \
            </dev/null >/dev/null 2>&1 &
    fi
}

start() {
    local host attempt
    host=$(users_engine)
    if answers "$host"; then
        echo "$host"
        return
    fi
    "$here/packages.sh" docker.io iptables >&2
    command -v docker >/dev/null || "$here/packages.sh" docker-cli >&2 # since Debian 13
    host=unix://$own/socket
    if ! answers "$host"; then
        # A second engine would take away the first one's firewall rules.
        ! as_root docker --host unix:///run/docker.sock version >/dev/null 2>&1 ||
            fail "Docker runs here, but $(id -un) may not use it. Join the group docker, or run this as root."
        echo "Starting a Docker engine of our own in $own" >&2
        launch
        for ((attempt = 0; attempt < 120; attempt++)); do
            ! answers "$host" || break
            sleep 0.5
        done
        answers "$host" || fail "The Docker engine did not start; its log: $(as_root tail -n 20 "$own/log")"
    fi
    echo "$host"
}

remove_ours_from() { # DOCKER_HOST
    export DOCKER_HOST=$1
    docker ps --all --quiet --filter "label=$label" | xargs --no-run-if-empty docker rm --force --volumes >/dev/null
    docker network ls --quiet --filter "label=$label" | xargs --no-run-if-empty docker network rm >/dev/null
    # The newest first, as they are listed: an image can go when none was made from it.
    docker images --quiet --filter "label=$label" | awk '!seen[$0]++' | xargs --no-run-if-empty docker rmi --force >/dev/null
}

end_process() {
    local pid attempt
    pid=$(own_process)
    runs "$pid" || return 0
    as_root sh -c "kill $pid" # sudo finds no program of that name everywhere
    for ((attempt = 0; attempt < 120; attempt++)); do
        [ -d "/proc/$pid" ] || return 0
        sleep 0.5
    done
    fail "The Docker engine of $own (process $pid) does not end."
}

stop() {
    local host
    host=$(users_engine)
    if [ -e "$own" ]; then
        ! answers "unix://$own/socket" || remove_ours_from "unix://$own/socket"
        end_process
        unmount
        as_root rm -rf "$own"
    elif answers "$host"; then
        remove_ours_from "$host"
    fi
}

"${1:?}"
