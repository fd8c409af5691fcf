#!/usr/bin/env bash
# Gets the newest Node the tests know from its npm package, into the cache folder where they look for it: they train on
# it and on the Node that runs them, and compare the bits. With `test`, runs the cpu device's tests by it as well.
set -eu
cd "$(dirname "$0")/.."
cache="${HICO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/hico-webgpu}/node"
node="$cache/node_modules/node/bin/node"
if [ ! -x "$node" ]; then
  mkdir -p "$cache"
  npm install --prefix "$cache" --no-save --no-package-lock node@26 >/dev/null 2>&1
fi
"$node" --version
[ "${1:-}" = test ] || exit 0
"$node" --import tsx --test --test-concurrency=2 $(find test/wasm -name '*.test.ts') test/device/cpu*.test.ts
