#!/bin/sh
# An environment for lmms-eval beside longtake's own: environment.sh .venv .venv-lmms
# Its packages come first; torch and all else are those of longtake's environment, so nothing large is fetched.
set -eu
own=$1 made=$2
here=$(dirname "$0")
"$own/bin/python" -m venv --without-pip "$made"
packages=$("$made/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$own/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$packages/beside.pth"
"$own/bin/python" -m pip --python "$made/bin/python" --disable-pip-version-check --no-input install --quiet \
    --no-deps --requirement "$here/requirements.txt" editables
# longtake again, so that its entry point is found here.
"$own/bin/python" -m pip --python "$made/bin/python" --disable-pip-version-check --no-input install --quiet \
    --no-deps --no-build-isolation --editable "$here/../.."
