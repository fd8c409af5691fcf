/**
 * Which statements of a program the engine may refuse (docs/semantics.md, "What an assignment ends"): those that need a
 * value which a run may have computed on its way without handing it out, calls that would add to a gradient from before
 * them or would not reach what their arguments were made of, and uses of a gradient that a call has left. Every other
 * statement must have its numbers.
 *
 * It says yes rather too often than too seldom: from the first such statement on, whatever follows may be refused.
 */

/** A value that a program has made and not necessarily computed. */
interface Made {
  readonly inputs: readonly Made[];
  /** Whether a run may have computed it and kept it for nobody. */
  passed: boolean;
  /** Whether it was made of what had been passed by then. */
  readonly rests: boolean;
}

/** Operations whose result may be the operand itself, looked at in another way. */
const VIEWS: ReadonlySet<string> = new Set(["detach", "flatten", "transpose", "neg"]);

export class OnTheWay {
  readonly #values = new Map<string, Made>();
  readonly #views = new Set<string>();
  /** Variables whose gradient an optimizer has used. */
  readonly #used = new Set<string>();
  /** Variables whose gradient a compiled function has left: it may have no value outside it. */
  readonly #left = new Set<string>();
  #now = false;

  /** Whether what has been asked for so far may be refused. */
  get refusable(): boolean {
    return this.#now;
  }

  /** From here on anything may be. */
  give(): void {
    this.#now = true;
  }

  /** Notes the result of an operation. Variables and tensors of the host's numbers have no name here. */
  operation(name: string, op: string, inputs: readonly string[]): void {
    const made = inputs.map((input) => this.#values.get(input)).filter((one) => one !== undefined);
    const [same] = made;
    // A view of a variable may be the variable's leaf, which any run reads that uses the variable.
    if (VIEWS.has(op)) {
      this.#values.set(name, same ?? { inputs: [], passed: true, rests: false });
      this.#views.add(name);
    } else this.#values.set(name, { inputs: made, passed: false, rests: made.some(lost) });
  }

  /** Notes that a value is computed and handed out: read, or given to a compiled function. */
  asked(name: string): void {
    const made = this.#values.get(name);
    if (!made) return;
    if (lost(made)) this.#now = true;
    // A view may be handed out without what it looks at.
    passAll(this.#views.has(name) ? [made] : made.inputs);
  }

  /** Notes that values are used by what may compute them and keep them for nobody, and what was made of them. */
  took(names: readonly string[], result?: string): void {
    const made = names.map((name) => this.#values.get(name)).filter((one) => one !== undefined);
    if (made.some(lost)) this.#now = true;
    passAll(made);
    if (result !== undefined) this.#values.set(result, { inputs: [], passed: made.length > 0, rests: false });
  }

  /** Notes a backward pass, which reads all that the value was made of. */
  backward(name: string): void {
    this.gradients();
    const made = this.#values.get(name);
    if (!made) return;
    if (everything([made]).some(lost)) this.#now = true;
    passAll([made]);
  }

  /** Notes steps of an optimizer, by gradients that may be used up. */
  step(variables: readonly string[]): void {
    for (const name of variables) {
      if (this.#used.has(name) || this.#left.has(name)) this.#now = true;
      this.#used.add(name);
    }
  }

  cleared(variable: string): void {
    this.#used.delete(variable);
    this.#left.delete(variable);
  }

  readGradient(variable: string): void {
    if (this.#used.has(variable) || this.#left.has(variable)) this.#now = true;
  }

  /** Notes that a compiled function has set a variable's gradient. */
  left(variable: string): void {
    this.#left.add(variable);
  }

  /** Notes what may use the gradient of any variable. */
  gradients(): void {
    if (this.#left.size > 0) this.#now = true;
  }
}

const lost = ({ passed, rests }: Made): boolean => passed || rests;

function everything(values: readonly Made[]): Made[] {
  const seen = new Set<Made>();
  const visit = (one: Made): void => {
    if (seen.has(one)) return;
    seen.add(one);
    one.inputs.forEach(visit);
  };
  values.forEach(visit);
  return [...seen];
}

function passAll(values: readonly Made[]): void {
  for (const one of everything(values)) one.passed = true;
}
