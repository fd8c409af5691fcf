/** Modules in lists and by name (torch.nn.ModuleList, ModuleDict). Arrays of modules work as well: these have a name. */
import { describeValue } from "../../tensor/door/door.ts";
import { Module } from "../module.ts";

/** Modules in order; state names are positions (torch.nn.ModuleList). */
export class ModuleList<M extends Module = Module> extends Module implements Iterable<M> {
  readonly #list: M[];

  constructor(modules: Iterable<M> = []) {
    super();
    this.#list = [...listed("ModuleList", modules, "[module, …]")];
    this.#list.forEach((m, i) => requireModule("ModuleList", String(i), m));
  }

  protected override members() {
    return this.#list.map((module, i) => [String(i), module] as const);
  }

  /** How many. */
  get length(): number {
    return this.#list.length;
  }
  /** The module at position `index`, from 0; negative ones count from the end. */
  at(index: number): M {
    const module = this.#list.at(index);
    if (!module) throw new Error(`ModuleList: there is no module ${index} of ${this.length}`);
    return module;
  }
  /** Adds a module at the end. */
  append(module: M): this {
    requireModule("ModuleList", String(this.length), module);
    this.#list.push(module);
    return this;
  }
  /** Adds several modules at the end. */
  extend(modules: Iterable<M>): this {
    for (const module of modules) this.append(module);
    return this;
  }
  /** What `f` makes of each module, as an array. */
  map<T>(f: (module: M, index: number) => T): T[] {
    return this.#list.map(f);
  }
  /** Calls `f` with each module in order. */
  forEach(f: (module: M, index: number) => void): void {
    this.#list.forEach(f);
  }
  /** The modules in order, for `for … of`. */
  [Symbol.iterator](): Iterator<M> {
    return this.#list[Symbol.iterator]();
  }
}

/** Modules by name; state names are the names (torch.nn.ModuleDict). */
export class ModuleDict<M extends Module = Module> extends Module implements Iterable<[string, M]> {
  readonly #byName: Map<string, M>;

  constructor(modules: Readonly<Record<string, M>> | Iterable<readonly [string, M]> = {}) {
    super();
    const list = listed("ModuleDict", modules, "{ name: module, … }", true);
    const entries = Symbol.iterator in list ? (list as Iterable<readonly [string, M]>) : Object.entries(list);
    this.#byName = new Map();
    for (const [name, module] of entries) this.set(name, module);
  }

  protected override members() {
    return [...this.#byName];
  }

  /** How many. */
  get size(): number {
    return this.#byName.size;
  }
  /** Whether there is a module of this name. */
  has(name: string): boolean {
    return this.#byName.has(name);
  }
  /** The module of this name. @throws Error that lists the names there are */
  get(name: string): M {
    const module = this.#byName.get(name);
    if (!module) throw new Error(`ModuleDict: there is no "${name}"; there are ${[...this.#byName.keys()].join(", ")}`);
    return module;
  }
  /** Adds a module under a name, or puts it in the place of the one that has it. */
  set(name: string, module: M): this {
    requireModule("ModuleDict", name, module);
    if (name === "" || name.includes(".")) {
      throw new Error(
        `ModuleDict: the name "${name}" must not be empty or have a dot, which parts names in state dictionaries`,
      );
    }
    this.#byName.set(name, module);
    return this;
  }
  /** Takes out the module of this name; whether there was one. */
  delete(name: string): boolean {
    return this.#byName.delete(name);
  }
  /** The names in order. */
  keys(): IterableIterator<string> {
    return this.#byName.keys();
  }
  /** The modules in order. */
  values(): IterableIterator<M> {
    return this.#byName.values();
  }
  /** Names with modules in order, for `for … of`. */
  [Symbol.iterator](): Iterator<[string, M]> {
    return this.#byName[Symbol.iterator]();
  }
}

/** @param records whether a record will do as well as what can be gone through */
function listed<T>(container: string, modules: T, example: string, records = false): T {
  const given: unknown = modules;
  if (typeof given === "object" && given !== null && (records || Symbol.iterator in given)) return modules;
  throw new TypeError(`${container}: takes its modules together, as ${example}, not ${describeValue(given)}`);
}

function requireModule(container: string, name: string, value: unknown): void {
  if (value instanceof Module) return;
  throw new TypeError(`${container}: "${name}" is no Module but ${describeValue(value)}`);
}
