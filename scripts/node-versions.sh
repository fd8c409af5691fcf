#!/usr/bin/env bash
# Gets the newest Node the tests know (scripts/runtime.sh): they train on it and on the Node that runs them, and compare
# the bits. With `test`, runs the cpu device's tests by it as well.
set -eu
cd "$(dirname "$0")/.."
scripts/runtime.sh node
[ "${1:-}" = test ] || exit 0
"$(scripts/runtime.sh node path)" --import tsx --test --test-concurrency=2 $(find test/wasm -name '*.test.ts') test/device/cpu*.test.ts
