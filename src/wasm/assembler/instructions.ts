/**
 * WebAssembly instructions as typed expressions: an operation takes values and gives a value, and a value is the code
 * that leaves it on the stack. What has an effect (stores, control flow) is a statement and belongs to `function.ts`.
 *
 * Opcodes: WebAssembly core specification 2.0 (Appendix, index of instructions), the threads proposal for atomics and
 * the relaxed SIMD proposal for fused multiply-add.
 */
export type ValueType = "i32" | "i64" | "f32" | "f64" | "v128";

/** An expression: `code` leaves one value of `type` on the stack. Using it twice computes it twice. */
export interface Value {
  readonly type: ValueType;
  readonly code: readonly number[];
  /** Set where it is an integer known while emitting. */
  readonly constant?: number;
}

export function unsignedLeb(value: number): number[] {
  const bytes: number[] = [];
  do {
    const low = value % 128;
    value = Math.floor(value / 128);
    bytes.push(value > 0 ? low | 0x80 : low);
  } while (value > 0);
  return bytes;
}

/** An opcode with a whole number. */
export function immediate(opcode: number, value: number): number[] {
  return value < 128 ? [opcode, value] : [opcode, ...unsignedLeb(value)];
}

function signedLeb(value: number): number[] {
  const bytes: number[] = [];
  for (;;) {
    const low = value & 0x7f;
    value >>= 7;
    const done = (value === 0 && (low & 0x40) === 0) || (value === -1 && (low & 0x40) !== 0);
    bytes.push(done ? low : low | 0x80);
    if (done) return bytes;
  }
}

const scratch = new DataView(new ArrayBuffer(16));

function bytesOf(write: (view: DataView) => void, length: number): number[] {
  write(scratch);
  return [...new Uint8Array(scratch.buffer, 0, length)];
}

/** An instruction with its operands; they are checked against the types it takes. */
export function operation(
  type: ValueType,
  opcode: readonly number[],
  takes: readonly ValueType[],
  args: readonly Value[],
): Value {
  const code: number[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (arg.type !== takes[i])
      throw new TypeError(`WebAssembly's instruction ${opcode.join()}: operand ${i} is ${arg.type}, not ${takes[i]}`);
    for (const byte of arg.code) code.push(byte);
  }
  for (const byte of opcode) code.push(byte);
  return { type, code };
}

type Unary = (x: Value) => Value;
type Binary = (x: Value, y: Value) => Value;
type Ternary = (x: Value, y: Value, z: Value) => Value;

/** An instruction of one operand, by its opcode. */
export const unary =
  (type: ValueType, from: ValueType, ...opcode: number[]): Unary =>
  (x) =>
    operation(type, opcode, [from], [x]);
/** An instruction of two operands of a type, by its opcode. */
export const binary =
  (type: ValueType, from: ValueType, ...opcode: number[]): Binary =>
  (x, y) =>
    operation(type, opcode, [from, from], [x, y]);
/** The bytes of a vector instruction's opcode. */
export const simd = (opcode: number): number[] => immediate(0xfd, opcode);
const vector1 = (opcode: number): Unary => unary("v128", "v128", ...simd(opcode));
const vector2 = (opcode: number): Binary => binary("v128", "v128", ...simd(opcode));
const vector3 =
  (opcode: number): Ternary =>
  (x, y, z) =>
    operation("v128", simd(opcode), ["v128", "v128", "v128"], [x, y, z]);
const shift =
  (opcode: number): Binary =>
  (x, by) =>
    operation("v128", simd(opcode), ["v128", "i32"], [x, by]);

/** Alignment hint (log2 of bytes) and constant offset of a memory access. */
const access = immediate;
/** A load from an address and a constant offset, by the alignment that is promised (log2 of bytes) and its opcode. */
export const load =
  (type: ValueType, align: number, ...opcode: number[]) =>
  (address: Value, offset = 0): Value =>
    operation(type, [...opcode, ...access(align, offset)], ["i32"], [address]);

function integer(value: number): Value {
  return { type: "i32", code: [0x41, ...signedLeb(value | 0)], constant: value | 0 };
}

const folded = (
  opcode: number,
  compute: (x: number, y: number) => number,
  neutral?: (x: Value, y: Value) => Value | undefined,
): Binary => {
  const plain = binary("i32", "i32", opcode);
  return (x, y) => {
    if (x.constant !== undefined && y.constant !== undefined) return integer(compute(x.constant, y.constant));
    return neutral?.(x, y) ?? plain(x, y);
  };
};

/**
 * Values of 32-bit integers, addresses among them, by WebAssembly's instructions: `S` takes operands as signed, `U` as
 * unsigned. What is known of constants is computed at once.
 */
export const i32 = {
  const: integer,
  add: folded(
    0x6a,
    (x, y) => x + y,
    (x, y) => (x.constant === 0 ? y : y.constant === 0 ? x : undefined),
  ),
  sub: folded(
    0x6b,
    (x, y) => x - y,
    (x, y) => (y.constant === 0 ? x : undefined),
  ),
  mul: folded(0x6c, Math.imul, (x, y) => (x.constant === 1 ? y : y.constant === 1 ? x : undefined)),
  divS: folded(
    0x6d,
    (x, y) => Math.trunc(x / y),
    (x, y) => (y.constant === 1 ? x : undefined),
  ),
  divU: folded(
    0x6e,
    (x, y) => Math.floor((x >>> 0) / (y >>> 0)),
    (x, y) => (y.constant === 1 ? x : undefined),
  ),
  remS: binary("i32", "i32", 0x6f),
  remU: binary("i32", "i32", 0x70),
  and: folded(0x71, (x, y) => x & y),
  xor: binary("i32", "i32", 0x73),
  shl: folded(
    0x74,
    (x, y) => x << y,
    (x, y) => (y.constant === 0 ? x : undefined),
  ),
  shrS: binary("i32", "i32", 0x75),
  shrU: binary("i32", "i32", 0x76),
  eqz: unary("i32", "i32", 0x45),
  eq: binary("i32", "i32", 0x46),
  ne: binary("i32", "i32", 0x47),
  ltS: binary("i32", "i32", 0x48),
  ltU: binary("i32", "i32", 0x49),
  gtS: binary("i32", "i32", 0x4a),
  gtU: binary("i32", "i32", 0x4b),
  leS: binary("i32", "i32", 0x4c),
  leU: binary("i32", "i32", 0x4d),
  geS: binary("i32", "i32", 0x4e),
  load: load("i32", 2, 0x28),
  atomicLoad: load("i32", 2, 0xfe, 0x10),
  /** Value before the addition. */
  atomicAdd: (address: Value, by: Value, offset = 0): Value =>
    operation("i32", [0xfe, 0x1e, ...access(2, offset)], ["i32", "i32"], [address, by]),
  /** Threads woken. */
  atomicNotify: (address: Value, count: Value, offset = 0): Value =>
    operation("i32", [0xfe, 0x00, ...access(2, offset)], ["i32", "i32"], [address, count]),
  /** 0 woken, 1 not equal, 2 timed out (never: it waits for as long as it takes). */
  atomicWait: (address: Value, expected: Value, offset = 0): Value => {
    const forever: Value = { type: "i64", code: [0x42, 0x7f] };
    return operation("i32", [0xfe, 0x01, ...access(2, offset)], ["i32", "i32", "i64"], [address, expected, forever]);
  },
};

/** What counters of 64 bits need. */
export const i64 = {
  add: binary("i64", "i64", 0x7c),
  eq: binary("i32", "i64", 0x51),
  extendI32U: unary("i64", "i32", 0xad),
  wrap: unary("i32", "i64", 0xa7),
  atomicLoad: load("i64", 3, 0xfe, 0x11),
  /** Puts `to` where `expected` is; gives what was there. */
  atomicCompareExchange: (address: Value, expected: Value, to: Value, offset = 0): Value =>
    operation("i64", [0xfe, 0x49, ...access(3, offset)], ["i32", "i64", "i64"], [address, expected, to]),
};

/** Values of float32, by WebAssembly's instructions. Comparisons give an i32, 1 or 0. */
export const f32 = {
  const: (value: number): Value => ({ type: "f32", code: [0x43, ...bytesOf((v) => v.setFloat32(0, value, true), 4)] }),
  eq: binary("i32", "f32", 0x5b),
  ge: binary("i32", "f32", 0x60),
  load: load("f32", 2, 0x2a),
};

const vectorLoad = (align: number, opcode: number) => load("v128", align, ...simd(opcode));

/** Values of 128 bits whose lanes have no type: memory, bits and the order of lanes, by WebAssembly's instructions. */
export const v128 = {
  const: (words: readonly number[]): Value => ({
    type: "v128",
    code: [...simd(0x0c), ...bytesOf((v) => words.forEach((w, i) => v.setUint32(4 * i, w >>> 0, true)), 16)],
  }),
  /** The alignment hint is 4 bytes: tensors need no more. */
  load: vectorLoad(2, 0x00),
  /** One 32-bit element in all four lanes. */
  load32Splat: vectorLoad(2, 0x09),
  /** One 32-bit element in lane 0, the others 0. */
  load32Zero: vectorLoad(2, 0x5c),
  /** Two 32-bit elements in lanes 0 and 1, the others 0. */
  load64Zero: vectorLoad(2, 0x5d),
  /** `into` with one lane from memory. */
  load32Lane: (address: Value, into: Value, lane: number, offset = 0): Value =>
    operation("v128", [...simd(0x56), ...access(2, offset), lane], ["i32", "v128"], [address, into]),
  not: vector1(0x4d),
  and: vector2(0x4e),
  andNot: vector2(0x4f),
  or: vector2(0x50),
  xor: vector2(0x51),
  /** Bits of `x` where `mask` is 1, of `y` elsewhere. */
  bitselect: (x: Value, y: Value, mask: Value): Value => vector3(0x52)(x, y, mask),
  anyTrue: unary("i32", "v128", ...simd(0x53)),
  /** Bytes of x (0–15) and y (16–31) by number. */
  shuffle: (x: Value, y: Value, bytes: readonly number[]): Value =>
    operation("v128", [...simd(0x0d), ...bytes], ["v128", "v128"], [x, y]),
  /** 32-bit lanes of x (0–3) and y (4–7) by number. */
  shuffle32: (x: Value, y: Value, lanes: readonly number[]): Value =>
    v128.shuffle(
      x,
      y,
      lanes.flatMap((l) => [4 * l, 4 * l + 1, 4 * l + 2, 4 * l + 3]),
    ),
};

/** Values of four i32 lanes, by WebAssembly's instructions. Comparisons give all bits of a lane 1, or 0. */
export const i32x4 = {
  const: (value: number): Value => v128.const([value, value, value, value]),
  splat: unary("v128", "i32", ...simd(0x11)),
  extract: (x: Value, lane: number): Value => operation("i32", [...simd(0x1b), lane], ["v128"], [x]),
  replace: (x: Value, lane: number, by: Value): Value =>
    operation("v128", [...simd(0x1c), lane], ["v128", "i32"], [x, by]),
  add: vector2(0xae),
  sub: vector2(0xb1),
  mul: vector2(0xb5),
  neg: vector1(0xa1),
  abs: vector1(0xa0),
  minS: vector2(0xb6),
  minU: vector2(0xb7),
  maxS: vector2(0xb8),
  maxU: vector2(0xb9),
  shl: shift(0xab),
  shrS: shift(0xac),
  shrU: shift(0xad),
  eq: vector2(0x37),
  ne: vector2(0x38),
  ltS: vector2(0x39),
  ltU: vector2(0x3a),
  gtS: vector2(0x3b),
  gtU: vector2(0x3c),
  leS: vector2(0x3d),
  leU: vector2(0x3e),
  geS: vector2(0x3f),
  geU: vector2(0x40),
  truncSatF32x4S: vector1(0xf8),
  truncSatF32x4U: vector1(0xf9),
};

/** Values of four float32 lanes, by WebAssembly's instructions. Comparisons give all bits of a lane 1, or 0. */
export const f32x4 = {
  const: (value: number): Value => {
    const word = bytesOf((v) => v.setFloat32(0, value, true), 4);
    return { type: "v128", code: [...simd(0x0c), ...word, ...word, ...word, ...word] };
  },
  splat: unary("v128", "f32", ...simd(0x13)),
  add: vector2(0xe4),
  sub: vector2(0xe5),
  mul: vector2(0xe6),
  div: vector2(0xe7),
  /** NaN where either is. */
  min: vector2(0xe8),
  max: vector2(0xe9),
  /** `y < x ? y : x` and `x < y ? y : x`: one machine instruction. */
  pmin: vector2(0xea),
  pmax: vector2(0xeb),
  abs: vector1(0xe0),
  neg: vector1(0xe1),
  sqrt: vector1(0xe3),
  ceil: vector1(0x67),
  floor: vector1(0x68),
  trunc: vector1(0x69),
  nearest: vector1(0x6a),
  eq: vector2(0x41),
  ne: vector2(0x42),
  lt: vector2(0x43),
  gt: vector2(0x44),
  le: vector2(0x45),
  ge: vector2(0x46),
  convertI32x4S: vector1(0xfa),
  convertI32x4U: vector1(0xfb),
  /** x·y + z, rounded once or twice as the processor likes (relaxed SIMD). Use `multiplyAdd` of `features.ts`. */
  relaxedMadd: vector3(0x105),
  /** z − x·y, likewise. */
  relaxedNmadd: vector3(0x106),
};

/** `x` where `condition` (i32) is not 0, else `y`; both are computed. */
export function select(condition: Value, x: Value, y: Value): Value {
  return operation(x.type, x.type === "v128" ? [0x1c, 0x01, 0x7b] : [0x1b], [x.type, x.type, "i32"], [x, y, condition]);
}
