#!/usr/bin/env bash
# Build a virtual environment with cascade and a MONAI Label 0.8.5 server, in the folder given.
#
#     integrations/monailabel/make_env.sh FOLDER
#
# MONAI Label's own requirements pull in what this app has no use for (SAM 2, torchvision, MLflow ...) and what does not go together
# (pydicom 3 with pydicom-seg), so its package comes without dependencies and those that its server imports are named here.
# It needs Python 3.10 or 3.11: the server imports distutils, which later versions do not have.
set -euo pipefail
[ $# = 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
here="$(cd "$(dirname "$0")/../.." && pwd)"
python="${PYTHON:-python3}"
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 12))' || {
  echo "cascade: error: $python: expected Python 3.11 (cascade needs 3.11, MONAI Label 0.8.5 a version below 3.12); set PYTHON" >&2
  exit 1
}

"$python" -m venv "$1"
pip="$1/bin/pip --disable-pip-version-check install -q"
constraints="$(mktemp)"
trap 'rm -f "$constraints"' EXIT
grep -viE '^(pydicom|pynetdicom|highdicom|setuptools)==' "$here/constraints.txt" > "$constraints"

$pip -c "$constraints" "$here[itk]"
$pip -c "$constraints" \
  'pydicom<3' 'pynetdicom<3' 'dicomweb-client[gcp]==0.59.3' \
  bcrypt cachetools 'einops>=0.7' expiringdict expiring_dict fastapi girder-client google-auth httpx itk jsonschema \
  'passlib>=1.7.4' psutil pydantic pydantic-settings pyjwt pynrrd python-dotenv python-multipart pytorch-ignite pyyaml requests \
  requests-toolbelt schedule 'setuptools<81' shapely timeloop uvicorn watchdog
$pip --no-deps monailabel==0.8.5 pydicom-seg
echo "$1: $("$1/bin/python" -c 'import cascade, importlib.metadata as m; print("cascade", cascade.__version__, "with MONAI Label", m.version("monailabel"))')"
