/**
 * What is known where code is being written: the values of loop variables and of what was computed before. Code is
 * written once for each scope, and forgotten when the scope ends.
 */
import type { FunctionBuilder } from "../assembler/function.ts";
import type { Value } from "../assembler/instructions.ts";

/** Values that hold in a block of code, and the blocks around it. */
class ValueScope {
  readonly variables = new Map<string, Value>();
  readonly values = new Map<string, Value>();
  readonly depth: number;
  constructor(readonly parent?: ValueScope) {
    this.depth = parent ? parent.depth + 1 : 0;
  }
}

export class Scopes {
  readonly #f: FunctionBuilder;
  #innermost = new ValueScope();

  constructor(f: FunctionBuilder) {
    this.#f = f;
  }

  /** Writes code in which loop variables have these values (i32); what it computes is forgotten afterwards. */
  within<T>(variables: Readonly<Record<string, Value>>, body: () => T): T {
    const outer = this.#innermost;
    this.#innermost = new ValueScope(outer);
    for (const [name, value] of Object.entries(variables)) this.setVariable(name, value);
    try {
      return body();
    } finally {
      this.#innermost = outer;
    }
  }

  /** Gives a variable a value, for the rest of the scope. */
  setVariable(name: string, value: Value): void {
    this.#innermost.variables.set(name, this.#f.name(value));
  }

  /** Gives what has this key a value, for the rest of the scope. */
  setValue(key: string, value: Value): void {
    this.#innermost.values.set(key, this.#f.name(value));
  }

  /** A variable with the lifetime of another one's value. */
  setBeside(variable: string, name: string, value: Value): void {
    this.#home(variable)!.variables.set(name, value);
  }

  #home(name: string): ValueScope | undefined {
    let s: ValueScope | undefined = this.#innermost;
    while (s && !s.variables.has(name)) s = s.parent;
    return s;
  }

  /** The value of a variable. */
  variable(name: string): Value | undefined {
    return this.#home(name)?.variables.get(name);
  }

  /** How deep the innermost scope is that gives one of these a value; Infinity where one has none. */
  depthOf(names: Iterable<string>): number {
    let deepest = 0;
    for (const name of names) {
      const home = this.#home(name);
      if (!home) return Infinity;
      deepest = Math.max(deepest, home.depth);
    }
    return deepest;
  }

  /** What was computed under this key, unless a variable it depends on has another value by now. */
  known(key: string, variables: Iterable<string>): Value | undefined {
    for (let s: ValueScope | undefined = this.#innermost; s; s = s.parent) {
      const value = s.values.get(key);
      if (value) return value;
      if (s.variables.size > 0) for (const name of variables) if (s.variables.has(name)) return undefined;
    }
    return undefined;
  }

  /** What has this key, computed here unless it is known. */
  once(key: string, variables: Iterable<string>, compute: () => Value): Value {
    let value = this.known(key, variables);
    if (!value) this.#innermost.values.set(key, (value = this.#f.name(compute())));
    return value;
  }

  allBound(names: Iterable<string>): boolean {
    for (const name of names) if (!this.#home(name)) return false;
    return true;
  }
}
