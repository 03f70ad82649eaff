#!/usr/bin/env bash
# usage: sanity.sh <work directory> <copy of the collection>
# ansible-test sanity, all tests, without ignores, on every Python found. PATH must begin with ansible-test's directory.
set -euo pipefail
umask 077

work=$1
copy=$2
tools=$(cd "$(dirname "$0")" && pwd)
home=$work/home # keeps ansible-test's caches out of the user's
python=$(command -v python)

if compgen -G "$copy/tests/sanity/ignore*" >/dev/null; then
    echo "There are sanity ignores; the collection has none." >&2
    exit 1
fi

mkdir -p "$work/pythons" "$home/.config/pip" "$home/.ansible/test/cache"

# ansible-test takes pythonX.Y from PATH, and a name that does not run there is an error.
"$tools/pythons.sh" | while read -r minor interpreter; do
    ln -sfn "$interpreter" "$work/pythons/python3.$minor"
done

# It also hides the environment from pip, so that settings must come from a file.
{
    echo "[global]"
    echo "quiet = 2"
    "$python" -m pip config list | sed -nE "s/^(global|install|:env:)\.([a-z-]+)='(.*)'$/\2 = \3/p" |
        awk -F ' = ' '$1 != "quiet" { line[$1] = $0 } END { for (name in line) print line[name] }'
} >"$home/.config/pip/pip.conf"

# And it downloads a script to install pip, unless that is in its cache. The pip that is here can do it too.
pip_version=$("$python" - <<'EOF'
import pathlib, re
import ansible_test
text = pathlib.Path(ansible_test.__path__[0], "_internal/python_requirements.py").read_text()
print(re.search(r"pip='([0-9.]+)'", text)[1])
EOF
)
cat >"$home/.ansible/test/cache/get_pip_${pip_version//./_}.py" <<EOF
import subprocess, sys
packages = [word for word in sys.argv[1:] if "==" in word]
subprocess.check_call(["$python", "-m", "pip", "--python", sys.executable, "install", "--quiet", *packages])
EOF

cd "$copy"
HOME=$home PATH=${python%/*}:$work/pythons:$PATH ansible-test sanity --color no 2>&1 | tee "$work/sanity-tests.log"
# It ends well, too, when it found nothing to test.
grep -q 'Running sanity test "validate-modules"' "$work/sanity-tests.log"
