#!/bin/sh
# Tests the kernels under sanitizers: `tests/sanitize.sh address` (ASan + UBSan) or `tests/sanitize.sh thread` (TSan).
# The CUDA kernels take part, emulated on host threads: under TSan a missing barrier is a data race.
# Each run first proves that the sanitizer sees a bug planted for it.
set -eu
cd "$(dirname "$0")/.."
kind=${1:?address or thread}
shift
python=${PYTHON:-python}
build=build/$kind
cmake -S . -B "$build" -G Ninja -DPOSE_RT_SANITIZE="$kind" -DPOSE_RT_PLANTED_BUGS=ON -DPOSE_RT_CUDA=EMULATE \
  -DPython_EXECUTABLE="$(command -v "$python")" -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" >/dev/null
cmake --build "$build"
core=$(ls "$PWD/$build"/_core*.so)

library() { ${CXX:-g++} -print-file-name="$1"; }
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 PYTHONMALLOC=malloc
if [ "$kind" = address ]; then
  preload="$(library libasan.so) $(library libubsan.so) $(library libstdc++.so)"
  export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
  planted="planted_past_the_end planted_overflow"
  marks="heap-buffer-overflow|signed integer overflow"
  tests=tests/ops
else
  preload="$(library libtsan.so) $(library libstdc++.so)"
  export TSAN_OPTIONS=exitcode=66:halt_on_error=1:report_signal_unsafe=0
  planted=planted_race
  marks="data race"
  tests="tests/ops/test_threads.py tests/ops/test_philox.py"
fi
# Fixed addresses: TSan of some compilers cannot place its shadow under strong randomisation.
run() { setarch -R env LD_PRELOAD="$preload" "$@"; }

for bug in $planted; do
  if run "$python" -c "
import importlib.machinery, importlib.util
loader = importlib.machinery.ExtensionFileLoader('pose_rt._core', '$core')
core = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
loader.exec_module(core)
core.$bug(1000)
" 2>"$build/$bug.log" || ! grep -Eq "$marks" "$build/$bug.log"; then
    echo "$bug went unseen: the sanitizer does not work here" >&2
    tail -5 "$build/$bug.log" >&2
    exit 1
  fi
  echo "$bug: seen"
done
# -s: a report goes straight to the terminal; pytest would keep it and die with it.
# shellcheck disable=SC2086
POSE_RT_TEST_CORE=$core run "$python" -m pytest -q -s -p no:cacheprovider --timeout 600 $tests "$@"
POSE_RT_EMULATED_CORE=$core run "$python" -m pytest -q -s -p no:cacheprovider --timeout 600 tests/gpu "$@"
