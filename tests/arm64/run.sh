#!/usr/bin/env bash
# Installs the package for 64-bit Arm and runs some of its tests, on a Debian machine of another kind.
#
#     tests/arm64/run.sh FOLDER
#
# Everything goes into FOLDER (1 GB): qemu-user, Debian's Python for arm64, wheels, compiled kernels. Status 77 says
# that this machine cannot do it (no Debian, no network), and why.
set -euo pipefail
folder="$(mkdir -p "$1" && cd "$1" && pwd)"
source="$(cd "$(dirname "$0")/../.." && pwd)"
cannot() { echo "not tried: $1" >&2; exit 77; }

command -v apt-get dpkg-deb >/dev/null || cannot "no apt-get here"
[ "$(uname -m)" = aarch64 ] && cannot "this machine is one"
cd "$folder"
mkdir -p home hook tree

# Debian's packages, unpacked into a folder; nothing is installed, and the machine's list of packages stays as it is.
unpack() {  # ARCHITECTURE FOLDER PACKAGE...
    local state="$folder/apt-$1" architecture=$1 target=$2 package
    shift 2
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$target"
    : > "$state/status"
    local options=(-qq -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" -o Debug::NoLocking=1
        -o Dir::State::lists="$state/lists" -o Dir::Cache="$state/cache" -o Dir::State::status="$state/status"
        -o APT::Sandbox::User=root)
    { apt-get "${options[@]}" update && apt-get "${options[@]}" install -y --no-install-recommends --download-only "$@"; } \
        >/dev/null || cannot "Debian's packages for $architecture cannot be had"
    for package in "$state"/cache/archives/*.deb; do dpkg-deb -x "$package" "$target"; done
}
unpack "$(dpkg --print-architecture)" machine qemu-user-static
qemu="$folder/machine/usr/bin/qemu-aarch64-static"
unpack arm64 root python3 libstdc++6 libgomp1
python="$(basename "$(readlink -f root/usr/bin/python3)")"  # python3.11

# The package and what it needs, as wheels.
platforms=()
for libc in manylinux2014 manylinux_2_17 manylinux_2_26 manylinux_2_27 manylinux_2_28 manylinux_2_31 manylinux_2_34; do
    platforms+=(--platform "${libc}_aarch64")
done
version="${python#python}"
python3 - "$source/pyproject.toml" > requirements.txt <<'PYTHON'
import sys, tomllib
print(*tomllib.load(open(sys.argv[1], "rb"))["project"]["dependencies"], "pytest>=8", "pytest-xdist>=3.6", sep="\n")
PYTHON
python3 -m pip install -q --target site --upgrade --only-binary=:all: --python-version "$version" --implementation cp \
    --abi "cp${version/./}" --abi abi3 --abi none "${platforms[@]}" -r requirements.txt || cannot "no wheels can be had"
python3 -m pip install -q --no-deps --upgrade --target site "$source"

# Where the kernel cannot start programs for Arm by itself, Python must start Python through qemu. No compiler is found:
# the machine's own makes no code for Arm.
echo "import sys; sys.executable = '$folder/python'" > hook/sitecustomize.py
cat > python <<SHELL
#!/bin/sh
export PYTHONPATH="$folder/hook:$folder/site" PYTHONNOUSERSITE=1 HOME="$folder/home" PATH="$folder/none" CXX=none
export NUMBA_CACHE_DIR="\${NUMBA_CACHE_DIR:-$folder/compiled}" QEMU_LD_PREFIX="$folder/root"
unset XDG_CACHE_HOME OPENBLAS_CORETYPE
exec "$qemu" -L "$folder/root" "$folder/root/usr/bin/$python" "\$@"
SHELL
chmod +x python

# Beside the tests there must be no kernels/ and models/, which would stand in front of the installed ones.
cp -r "$source/tests" "$source/pyproject.toml" tree/
cd tree
PYTHONDONTWRITEBYTECODE=1 ../python -m pytest -q -p no:cacheprovider -m "not lengthy and not emulated and not gpu" \
    tests/kernels/test_{processor,crew,matmul,buffers,recording,accumulate,concat,dropout,replays}.py
