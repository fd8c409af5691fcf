/** The image of cluster tasks, as far as it can be tried without a container: its packages exist, its steps install a command. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const DOCKERFILE = readFileSync(new URL("../../Dockerfile", import.meta.url), "utf8");

test("the image has Node as the package wants it, Vulkan's loader, and a GPU's driver where the host has one", () => {
  const { engines } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    engines: { node: string };
  };
  const version = Number(/^FROM node:(\d+)/m.exec(DOCKERFILE)![1]);
  assert.ok(version >= Number(/\d+/.exec(engines.node)![0]));
  assert.match(DOCKERFILE, /apt-get install [^&]*\blibvulkan1\b/);
  assert.match(DOCKERFILE, /NVIDIA_DRIVER_CAPABILITIES=\S*\bgraphics\b/);
});

const known = spawnSync("apt-cache", ["show", "libc6"]).status === 0;

test("Debian has every package that the image installs", { skip: known ? false : "no package lists here" }, () => {
  const names = /apt-get install ([^&]*)&&/
    .exec(DOCKERFILE)![1]!
    .split(/\s+/)
    .filter((word) => /^[a-z]/.test(word));
  assert.ok(names.length > 0);
  for (const name of names)
    assert.match(execFileSync("apt-cache", ["show", name], { encoding: "utf8" }), /^Package: /m);
});
