#!/bin/sh
# usage: venv.sh <directory> <requirements file>
# Makes a virtual environment from the newest suitable Python, and fills it.
set -eu

directory=$1
requirements=$2
tools=$(dirname "$0")

best=$("$tools/pythons.sh" | awk '$1 >= 11 && $1 <= 14 && !found { print; found = 1 }')
[ -n "$best" ] || { echo "No Python from 3.11 to 3.14 found, ansible-core needs one." >&2; exit 1; }
minor=${best%% *}
python=${best#* }

"$python" -c 'import ensurepip' 2>/dev/null || "$tools/packages.sh" "python3.$minor-venv"
names=$(sed -n 's,^\([a-z][a-z-]*\).*,\1,p' "$requirements" | paste -sd ' ')
echo "Installing Python packages for Python 3.$minor below $directory: $names"
"$python" -m venv --clear "$directory"
"$directory/bin/python" -m pip install -qq --disable-pip-version-check --requirement "$requirements"
