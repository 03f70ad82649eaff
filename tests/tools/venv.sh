#!/bin/sh
# usage: venv.sh <directory> <requirements file>
# Makes a virtual environment from the newest suitable Python that really runs (a pyenv shim may not), and fills it.
set -eu

directory=$1
requirements=$2
tools=$(dirname "$0")

# Prints "<minor version> <interpreter>" when run by a Python that ansible-core accepts.
probe='
import ssl, sys, venv
if (3, 11) <= sys.version_info < (3, 15):
    print(sys.version_info[1], getattr(sys, "_base_executable", sys.executable))
'

candidates() {
    for name in python3.14 python3.13 python3.12 python3.11 python3 /usr/bin/python3; do
        command -v "$name" || true
    done
    if command -v pyenv >/dev/null; then
        ls "$(pyenv root)"/versions/*/bin/python3 || true
    fi
}

best=$(candidates 2>/dev/null | while read -r python; do "$python" -c "$probe" 2>/dev/null </dev/null || true; done |
    sort -rn -s -k1,1 | head -n 1)
[ -n "$best" ] || { echo "No Python from 3.11 to 3.14 found, ansible-core needs one." >&2; exit 1; }
minor=${best%% *}
python=${best#* }

"$python" -c 'import ensurepip' 2>/dev/null || "$tools/packages.sh" "python3.$minor-venv"
echo "Installing Python packages for Python 3.$minor below $directory: $(sed -n 's,^\([a-z][a-z-]*\).*,\1,p' "$requirements" | paste -sd ' ')"
"$python" -m venv --clear "$directory"
"$directory/bin/python" -m pip install -qq --disable-pip-version-check --requirement "$requirements"
