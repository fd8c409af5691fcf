/** Rows of neighbours on the cpu device: the numbers of the reference. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { CpuDevice } from "../../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../../src/device/reference/reference.ts";
import { setDefaultDevice } from "../../../src/tensor/index.ts";
import { ROWS, WIDTHS } from "../../support/rows.ts";

const reference = new ReferenceDevice();
const devices = await Promise.all([1, 2].map((threads) => CpuDevice.open({ threads })));
after(() => {
  for (const device of devices) device.close();
  setDefaultDevice(undefined);
});

for (const [name, build] of Object.entries(ROWS)) {
  test(`${name}`, async () => {
    for (const width of WIDTHS) {
      setDefaultDevice(reference);
      const expected = [...(await build(width).read())].map(Number);
      for (const device of devices) {
        setDefaultDevice(device);
        assert.deepEqual([...(await build(width).read())].map(Number), expected, `${width} columns`);
      }
    }
  });
}
