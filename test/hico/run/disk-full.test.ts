/** A disk that fills up while a run saves: the last good checkpoint stays, the error names it, and the run goes on from it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { CpuDevice } from "../../../src/device/cpu/cpu-device.ts";
import { pretrain, RunFolder } from "../../../src/hico/index.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { temporaryFolder, tinySettings, tinyStore } from "./run-helpers.ts";

const folder = temporaryFolder();
const disk = join(folder, "disk");
mkdirSync(disk);
const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", disk]);
const skip = mounted.status === 0 ? false : "no small disk can be mounted here (mount -t tmpfs needs root)";

let device: CpuDevice;
let data: string;
before(async () => {
  device = await CpuDevice.open({ threads: 1 });
  setDefaultDevice(device);
  data = await tinyStore(folder);
});
after(() => {
  device.close();
  if (mounted.status === 0) spawnSync("umount", [disk]);
  rmSync(folder, { recursive: true });
});

const filler = join(disk, "filler");

/** Writes until the disk takes no more. */
function fill(): void {
  const file = openSync(filler, "w");
  try {
    for (const size of [65536, 4096]) {
      try {
        for (;;) writeSync(file, new Uint8Array(size));
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
      }
    }
  } finally {
    closeSync(file);
  }
}

test("a checkpoint that finds no room leaves the one before it, whole, and nothing of its own", { skip }, async () => {
  const settings = tinySettings(data, { epochs: 3 });
  const whole = await pretrain({ settings, run: join(folder, "whole") });
  const run = join(disk, "run");
  let saved = "";
  await assert.rejects(
    pretrain({
      settings,
      run,
      onEvent: (event) => {
        if (event.kind !== "checkpoint" || saved !== "") return;
        saved = event.path;
        fill();
      },
    }),
    (error: Error) => {
      assert.match(error.message, /^\S+ cannot be written: the disk is full\nThe last good checkpoint is /);
      assert.ok(error.message.includes(saved) && saved !== "");
      return true;
    },
  );
  assert.deepEqual(
    readdirSync(run, { recursive: true }).filter((name) => /tmp|lock/.test(String(name))),
    [],
  );
  // As long as there is no room it says so, and spoils nothing.
  await assert.rejects(pretrain({ settings, run, resume: true }), /the disk is full/);
  assert.equal(new RunFolder(run).checkpoints()[0]!.path, saved);
  rmSync(filler);
  const resumed = await pretrain({ settings, run, resume: true });
  assert.ok(readFileSync(resumed.checkpoint).equals(readFileSync(whole.checkpoint)));
});
