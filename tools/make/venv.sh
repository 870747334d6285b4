#!/usr/bin/env bash
# Makes a virtual environment and installs this project into it. The extra `lce` is left out, and said to be, where Larq Compute Engine
# has no wheels; without it the versions are those of constraints.txt, with it those of constraints-lce.txt.
#
#   tools/make/venv.sh DIR REQUIREMENT...      for example: .venv -e '.[export,test]'
#
# Environment variables:
#   PYTHON         interpreter to use instead of the first good one of python3.11, python3.12, python3.13, python3.14, python3
#   TORCH          requirement to install for torch (default: the CPU build of the version in constraints.txt)
#   TORCH_INDEX    package index that has the CPU builds of torch, asked when the configured one has none
#   PIP_INDEX_URL  and pip's other variables and files are respected
#   CI             if "true" and the user is root, a missing system package is installed by apt
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv=$1
shift
torch_version=$(sed -n 's/^torch==//p' "$root/constraints.txt")
torch_index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}

say() { printf 'venv: %s\n' "$*" >&2; }
die() { say "$@"; exit 6; }

is_supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }
has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

candidates() { printf '%s\n' ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3}; }

find_python() {
    local name
    while read -r name; do
        if is_supported "$name" && has_venv "$name"; then
            command -v "$name"
            return
        fi
    done < <(candidates)
    return 1
}

# The package that would give find_python what it looks for; nothing where the distribution has none.
missing_package() {
    local name
    while read -r name; do
        if is_supported "$name"; then
            "$name" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'
            return
        fi
    done < <(candidates)
    # shellcheck source=/dev/null
    case $(. /etc/os-release 2>/dev/null && echo "${ID:-}-${VERSION_ID:-}") in
        debian-12 | ubuntu-22.04) echo python3.11-venv ;;
        ubuntu-24.04) echo python3.12-venv ;;
        debian-13) echo python3.13-venv ;;
    esac
}

if [[ ! -x $venv/bin/python ]] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! python=$(find_python); then
        [[ -z ${PYTHON:-} ]] || die "PYTHON=$PYTHON is not a Python 3.11 to 3.14 that can make virtual environments"
        package=$(missing_package)
        [[ -n $package ]] || die "needs Python 3.11 to 3.14 and found none; install one and name it: make PYTHON=/path/to/python3.12"
        if [[ ${CI:-} != true || $EUID != 0 ]]; then
            die "a system package is missing; install it with: sudo apt-get install $package"
        fi
        say "installing the system package $package"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package" >/dev/null
        python=$(find_python) || die "no usable Python 3.11 to 3.14, although $package is installed"
    fi
    say "creating $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi

pip=("$venv/bin/python" -m pip --disable-pip-version-check install)
[[ -t 2 && ${CI:-} != true ]] || pip+=(--quiet)

# PyPI's torch for Linux brings gigabytes of CUDA. Its CPU builds carry the local version "+cpu", which no other
# wheel satisfies: asking for exactly that either finds a CPU build or fails before anything is downloaded.
installed_torch=$("$venv/bin/python" -c '
from importlib.metadata import PackageNotFoundError, version
try:
    print(version("torch").partition("+")[0])
except PackageNotFoundError:
    pass')
if [[ $installed_torch != "$torch_version" || -n ${TORCH:-} ]]; then
    default_torch=torch==$torch_version
    [[ $(uname -s) != Linux ]] || default_torch+=+cpu
    torch=${TORCH:-$default_torch}
    say "installing $torch"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    if ! "${pip[@]}" --no-deps "$torch" 2>"$log" \
        && ! "${pip[@]}" --no-deps --retries 2 --timeout 15 --index-url "$torch_index" "$torch" 2>>"$log"; then
        grep -v '^WARNING\|No matching distribution\|Could not find a version' "$log" | tail -n 5 >&2 || true
        die "found no $torch in the configured package index nor at $torch_index." \
            "Name an index that has it (TORCH_INDEX=URL), or accept PyPI's build with several GB of CUDA" \
            "(TORCH=torch==$torch_version)"
    fi
fi

# Larq Compute Engine's wheels: Linux on x86-64 and macOS, Python up to 3.12.
requirements=() constraints=$root/constraints.txt
# A second call for another extra keeps the versions of the first.
! compgen -G "$venv/lib/python*/site-packages/larq_compute_engine" >/dev/null || constraints=$root/constraints-lce.txt
for requirement in "$@"; do
    if [[ $requirement =~ [[,]lce[],] ]]; then
        if "$venv/bin/python" -c 'import platform, sys
sys.exit(not (sys.version_info < (3, 13) and (sys.platform, platform.machine()) in {("linux", "x86_64"), ("darwin", "x86_64"), ("darwin", "arm64")}))'
        then
            constraints=$root/constraints-lce.txt
        else
            say "Larq Compute Engine has no wheels for $("$venv/bin/python" --version) on $(uname -sm): nothing is compared with it"
            requirement=${requirement/,lce/} requirement=${requirement/lce,/}
        fi
    fi
    requirements+=("$requirement")
done
say "installing ${requirements[*]}"
# Without build isolation the build backend and the compiler come pinned by the constraints, too.
pip+=(--constraint "$constraints")
build_requirements=(hatchling editables)
[[ $(uname -sm) != Linux\ @(x86_64|aarch64) ]] || build_requirements+=(ziglang)
"${pip[@]}" "${build_requirements[@]}"
"${pip[@]}" --no-build-isolation "${requirements[@]}"
