/**
 * What stands on the pickle machine's stack: plain values, and the objects of the allow-list.
 */
import { quoteForError } from "../format-error.ts";
import { pythonTypeName, type PythonValue } from "./python-values.ts";

/** What the machine's stack may hold: plain values, and objects that exist only while reading. */
export type PickleItem = PythonValue | PickleFunction | PickleObject;

/** A function or class of the allow-list. */
export class PickleFunction {
  /**
   * @param name its Python name, for errors
   * @param call what it does with its arguments; throws {@link PickleFault} on arguments it does not take
   */
  constructor(
    readonly name: string,
    readonly call: (args: readonly PickleItem[]) => PickleItem,
  ) {}
}

/** A value that may appear in a pickle, but not in the result: a storage, a storage's type, a NumPy dtype. */
export abstract class PickleObject {
  abstract readonly pythonName: string;
  /** Takes the state of a BUILD instruction. */
  build(_state: PickleItem): void {
    throw new PickleFault(`sets the state of a ${this.pythonName}, which is refused`);
  }
}

/** Thrown by allow-listed functions with the fault alone; the machine adds the file and the position. */
export class PickleFault extends Error {}

/** A stack item in words. */
export function describe(item: PickleItem | undefined): string {
  if (item instanceof PickleFunction) return quoteForError(item.name);
  if (item instanceof PickleObject) return item.pythonName;
  return item === undefined ? "nothing" : pythonTypeName(item);
}
