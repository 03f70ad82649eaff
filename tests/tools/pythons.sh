#!/bin/sh
# Prints "<minor version> <interpreter>" for each Python 3 on PATH or below pyenv that really runs (a pyenv shim may not),
# the newest first, one per version.
set -eu

probe='
import ssl, sys, venv
print(sys.version_info[1], getattr(sys, "_base_executable", sys.executable))
'

candidates() {
    for minor in 14 13 12 11 10 9 8; do
        command -v "python3.$minor" || true
    done
    command -v python3 || true
    ls -d /usr/bin/python3 || true
    if command -v pyenv >/dev/null; then
        ls -d "$(pyenv root)"/versions/3.*/bin/python3 || true
    fi
}

candidates 2>/dev/null | while read -r python; do
    "$python" -c "$probe" 2>/dev/null </dev/null || true
done | sort -rn -s -u -k1,1
