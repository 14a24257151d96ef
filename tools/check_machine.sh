#!/bin/sh
# Names what this machine lacks before anything is installed or built.
# usage: check_machine.sh PYTHON
python=$1
cxx=${CXX:-c++}
missing=0

lack() {
  echo "mrfmask needs $1. $2" >&2
  missing=1
}

if ! command -v "$python" >/dev/null 2>&1; then
  lack "Python >= 3.11 as '$python'" "Install it, or name another: make PYTHON=/path/to/python3"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  lack "Python >= 3.11; got $("$python" --version)" "Name another: make PYTHON=/path/to/python3"
else
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    lack "Python's venv module" "On Debian and Ubuntu: apt install python3-venv"
  "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' ||
    lack "Python's headers (Python.h)" "On Debian and Ubuntu: apt install python3-dev"
fi

if ! command -v "$cxx" >/dev/null 2>&1; then
  lack "a C++17 compiler as '$cxx'" "On Debian and Ubuntu: apt install g++; or name one: CXX=clang++"
else
  folder=$(mktemp -d)
  echo '#include <optional>
int main() { return *std::optional<int>(0); }' >"$folder/probe.cpp"
  "$cxx" -std=c++17 "$folder/probe.cpp" -o "$folder/probe" 2>/dev/null ||
    lack "a compiler for C++17; '$cxx' is none" "Name another: CXX=g++"
  rm -rf "$folder"
fi

exit $missing
