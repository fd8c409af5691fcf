/**
 * Turns the recorded random draws of the reference implementation into this package's draw objects.
 *
 * The record is a list of [source, values] in the order in which the reference implementation drew them:
 * `np.rand` u (scale = 0.1 + 0.9 u), `np.randint` start, `py.random` (below 1/2: corrupt, resp. zero the joints),
 * `np.choice` joints, then nine (corruption) or six (shear) `py.uniform`.
 */
import type { AugmentationDraw, CorruptDraw, CropDraw, ShearDraw } from "../../src/data/batches/draws.ts";
import { shearMatrix } from "../../src/data/batches/draws.ts";

export class DrawRecord {
  private at = 0;
  private readonly entries: [string, number[]][];

  constructor(json: string) {
    this.entries = JSON.parse(json) as [string, number[]][];
  }

  private take(source: string): number[] {
    const [found, values] = this.entries[this.at++] ?? ["nothing", []];
    if (found !== source) throw new Error(`draw ${this.at - 1} is ${found}, expected ${source}`);
    return values;
  }

  crop(): CropDraw {
    const [u] = this.take("np.rand");
    const [start] = this.take("np.randint");
    return { scale: 0.1 + 0.9 * u, start };
  }

  corrupt(): CorruptDraw {
    const zeroed = this.take("py.random")[0] < 0.5;
    const joints = this.take("np.choice");
    const matrix = zeroed ? null : Array.from({ length: 9 }, () => this.take("py.uniform")[0]);
    return { kind: "corrupt", joints, matrix };
  }

  shear(): ShearDraw {
    return { kind: "shear", matrix: shearMatrix(Array.from({ length: 6 }, () => this.take("py.uniform")[0])) };
  }

  augmentation(): AugmentationDraw {
    const crop = this.crop();
    return { crop, spatial: this.take("py.random")[0] < 0.5 ? this.corrupt() : this.shear() };
  }

  finished(): boolean {
    return this.at === this.entries.length;
  }
}
