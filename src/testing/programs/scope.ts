/** What stands at a point of a program, by name, and which of it a gradient flows through. */
export type Shape = readonly number[];

interface Function {
  readonly shapes: readonly Shape[];
  readonly result: Shape;
  /** Whether a variable leads to the result. */
  readonly leads: boolean;
}

/** What stands at a point of a program, by name. */
export class Scope {
  readonly tensors = new Map<string, Shape>();
  readonly variables = new Map<string, Shape>();
  readonly hosts = new Map<string, number>();
  readonly functions = new Map<string, Function>();
  /** Tensors that a variable leads to: only they have a backward pass. */
  readonly leads = new Set<string>();
  /** Tensors with a compiled result in their history: `backward` through them is refused. */
  readonly severed = new Set<string>();
  readonly #count = new Map<string, number>();

  fresh(letter: string): string {
    const n = this.#count.get(letter) ?? 0;
    this.#count.set(letter, n + 1);
    return `${letter}${n}`;
  }

  /** Tensors and variables. */
  values(fits: (shape: Shape) => boolean = () => true): string[] {
    return [...this.variables, ...this.tensors].filter(([, shape]) => fits(shape)).map(([name]) => name);
  }

  /** Names what is made from these inputs, through which a gradient flows as it does to them. */
  made(letter: string, shape: Shape, inputs: readonly string[]): string {
    const name = this.fresh(letter);
    this.tensors.set(name, shape);
    if (inputs.some((input) => this.severed.has(input))) this.severed.add(name);
    else if (inputs.some((input) => this.variables.has(input) || this.leads.has(input))) this.leads.add(name);
    return name;
  }

  shapeOf(name: string): Shape {
    return (this.tensors.get(name) ?? this.variables.get(name))!;
  }
}
