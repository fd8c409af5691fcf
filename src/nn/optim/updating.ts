/** How updates of variables are built: no gradient flows through them, and nothing in them is asked for by itself. */
import { noGrad } from "../../autograd/grad.ts";
import { uncounted } from "../../tensor/node.ts";
import { beforeUpdate } from "../../tensor/program/pending.ts";

/** Runs `f`, which only assigns variables: the old values it reads are kept for nobody. */
export function updating(f: () => void): void {
  beforeUpdate();
  noGrad(() => uncounted(f));
}
