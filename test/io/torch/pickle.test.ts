import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { PickleWriter, type PicklableValue } from "../../../src/io/torch/pickle-write.ts";
import { OrderedDict, readPickle, TorchDevice, TorchDType, type PythonValue } from "../io.ts";
import { latin1, refuses } from "../helpers.ts";

const dump = (value: PicklableValue): Uint8Array =>
  new PickleWriter(() => {
    throw new Error("no tensors here");
  }).dump(value);

/** A pickle of protocol 2 from its instructions after PROTO, with STOP. */
const pickle = (instructions: string): Uint8Array => latin1(`\x80\x02${instructions}.`);

/** Values that come back as they are: Maps for dicts, frozen arrays for tuples, no bigint that fits a number. */
const values = fc.letrec<{ value: PicklableValue; key: PicklableValue }>((tie) => ({
  key: fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.integer(),
    fc.boolean(),
    fc.constant(null),
    fc.double({ noNaN: true }).filter((x) => !Object.is(x, -0)),
  ),
  value: fc.oneof(
    { depthSize: "small" },
    tie("key"),
    fc.double(),
    fc.maxSafeInteger(),
    fc.bigInt({ max: -(2n ** 53n), min: -(2n ** 200n) }),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 200n }),
    fc.uint8Array({ maxLength: 20 }),
    fc.constantFrom(new TorchDType("float32"), new TorchDevice("cpu"), new TorchDevice("cuda", 3)),
    fc.array(tie("value"), { maxLength: 5 }),
    fc.array(tie("value"), { maxLength: 5 }).map((items) => Object.freeze(items)),
    fc.array(fc.tuple(tie("key"), tie("value")), { maxLength: 5 }).map((items) => new Map(items)),
    fc.array(fc.tuple(tie("key"), tie("value")), { maxLength: 5 }).map((items) => new OrderedDict(items as never)),
  ),
}));

describe("pickles of plain values", () => {
  test("what is written is read back", () => {
    fc.assert(
      fc.property(values.value, (value) => {
        const read = readPickle(dump(value));
        assert.deepStrictEqual(read, value);
        if (Array.isArray(value)) assert.equal(Object.isFrozen(read), Object.isFrozen(value));
      }),
      { numRuns: 500 },
    );
  });

  test("plain objects become dicts", () => {
    assert.deepEqual(
      readPickle(dump({ a: 1, b: { c: [] } })),
      new Map<string, unknown>([
        ["a", 1],
        ["b", new Map([["c", []]])],
      ]),
    );
  });

  test("shared containers stay shared", () => {
    const shared = [1];
    const [a, b] = readPickle(dump([shared, shared])) as PythonValue[];
    assert.equal(a, b);
  });

  test("pickles that outgrow the writer's first buffer at any instruction", () => {
    for (let length = 900; length < 1100; length++) {
      const value = ["x".repeat(length), 70000, 300, 0.5, -1, 2n ** 60n, ["y"], { z: [null] }];
      assert.deepEqual((readPickle(dump(value)) as PythonValue[]).slice(0, 6), value.slice(0, 6));
    }
  });

  test("more than 256 memo entries", () => {
    const value = Array.from({ length: 600 }, (_, i) => `name ${i}`);
    assert.deepEqual(readPickle(dump([value, value, ...value])), [value, value, ...value]);
  });

  test("protocol 4, as pickle.dump writes a list of names and labels", () => {
    // pickle.dumps((["S001", "S002"], [0, 59]), protocol=4)
    const bytes = latin1("\x80\x04\x95\x1c\0\0\0\0\0\0\0]\x94(\x8c\x04S001\x94\x8c\x04S002\x94e]\x94(K\0K;e\x86\x94.");
    assert.deepEqual(readPickle(bytes), [
      ["S001", "S002"],
      [0, 59],
    ]);
  });

  test("each instruction on its own", () => {
    const cases: [string, unknown][] = [
      ["N", null],
      ["J\xff\xff\xff\xff", -1],
      ["M\x01\x02", 513],
      ["\x8a\0", 0],
      ["\x8a\x01\xff", -1],
      ["\x8b\x02\0\0\0\0\x80", -32768],
      ["\x8a\x08\0\0\0\0\0\0\x20\0", 2n ** 53n],
      ["G\x3f\xf8\0\0\0\0\0\0", 1.5],
      ["U\x02hi", "hi"],
      ["T\x02\0\0\0hi", "hi"],
      ["\x8d\x02\0\0\0\0\0\0\0hi", "hi"],
      ["C\x01\xff", Uint8Array.of(255)],
      ["B\x01\0\0\0\xff", Uint8Array.of(255)],
      ["\x8e\x01\0\0\0\0\0\0\0\xff", Uint8Array.of(255)],
      ["(K\x01K\x02l", [1, 2]],
      ["]K\x01a(K\x02K\x03e", [1, 2, 3]],
      ["(K\x01K\x02K\x03K\x04t", [1, 2, 3, 4]],
      ["(K\x01K\x02d", new Map([[1, 2]])],
      ["}K\x01K\x02s", new Map([[1, 2]])],
      ["K\x01K\x022\x87", [1, 2, 2]],
      ["K\x05K\x060", 5],
      ["K\x05(K\x06K\x071", 5],
      ["K\x05(0", 5],
      ["]\x94h\x000K\x01", undefined],
    ];
    for (const [instructions, expected] of cases) {
      if (expected === undefined) refuses(() => readPickle(pickle(instructions)), /ends with 2 values/);
      else assert.deepEqual(readPickle(pickle(instructions)), expected, JSON.stringify(instructions));
    }
  });

  test("NumPy scalars become numbers", () => {
    const scalar = (code: string, state: string, bytes: string): string =>
      `cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nU\x02${code}\x89\x88\x87R(K\x03U\x01${state}NNN` +
      `J\xff\xff\xff\xff` +
      `J\xff\xff\xff\xffK\0tbC${String.fromCharCode(bytes.length)}${bytes}\x86R`;
    assert.equal(readPickle(pickle(scalar("f8", "<", "\0\0\0\0\0\0\xf8\x3f"))), 1.5);
    assert.equal(readPickle(pickle(scalar("i8", ">", "\0\0\0\0\0\0\0\x05"))), 5);
    assert.equal(readPickle(pickle(scalar("b1", "|", "\x01"))), true);
    refuses(() => readPickle(pickle(scalar("f8", "<", "\0"))), /numpy scalar without a dtype and that many bytes/);
    refuses(() => readPickle(pickle(scalar("O8", "|", "\0"))), /numpy dtype "O8", which is not supported/);
  });
});

describe("pickles that are refused", () => {
  const cases: [name: string, bytes: Uint8Array, fault: RegExp][] = [
    ["nothing", new Uint8Array(0), /^pickle, byte 0: truncated/],
    ["no STOP", latin1("\x80\x02N"), /^pickle, byte 3: truncated: 1 bytes needed, 0 left/],
    ["bytes after STOP", latin1("\x80\x02N.N"), /1 bytes follow its end/],
    ["an unknown protocol", latin1("\x80\x06N."), /protocol 6 is unknown; 2 to 5 are read/],
    ["text protocol 0", latin1("I1\n."), /opcode 0x49 is unknown, or belongs to the text protocols/],
    [
      "a call of the system",
      pickle("cos\nsystem\nU\x04true\x85R"),
      /asks for "os\.system", which is not on the allow-list/,
    ],
    [
      "eval by the stack",
      pickle("U\x08builtinsU\x04eval\x93"),
      /asks for "builtins\.eval", which is not on the allow-list/,
    ],
    ["a class that is only named", pickle("cargparse\nNamespace\n"), /asks for "argparse\.Namespace"/],
    ["a dotted name", pickle("ccollections\nOrderedDict.fromkeys\n"), /asks for "collections\.OrderedDict\.fromkeys"/],
    ["a prototype's name", pickle("c__proto__\nconstructor\n"), /asks for "__proto__\.constructor"/],
    ["a name by a number", pickle("K\x01K\x02\x93"), /names a class by a non-string/],
    ["INST", pickle("(ios\nsystem\n"), /asks for an instance of os\.system \(INST\), which is refused/],
    ["OBJ", pickle("(ccollections\nOrderedDict\no"), /asks for an instance of "collections\.OrderedDict" \(OBJ\)/],
    ["NEWOBJ", pickle("ctorch\nSize\n)\x81"), /asks for an instance of "torch\.Size" \(NEWOBJ\), which is refused/],
    ["NEWOBJ_EX", pickle("ctorch\nSize\n)}\x92"), /asks for an instance of "torch\.Size" \(NEWOBJ_EX\)/],
    ["an extension code", pickle("\x82\x01"), /by its extension code/],
    ["a textual persistent id", pickle("P0\n"), /persistent id as text/],
    ["a persistent id outside a checkpoint", pickle("NQ"), /has a persistent id, which only checkpoints have/],
    ["a set", pickle("\x8f"), /holds a set, which is refused/],
    ["a call of a value", pickle("K\x01)R"), /calls a int, which is refused/],
    ["a call without a tuple", pickle("ccollections\nOrderedDict\n]R"), /with a list in place of its tuple/],
    ["arguments that copy", pickle("ccollections\nOrderedDict\n]\x85R"), /OrderedDict with arguments; none are taken/],
    ["the state of a dict", pickle("}}b"), /sets the state of a dict \(BUILD\), which is refused/],
    ["a tensor", pickle("ctorch._utils\n_rebuild_parameter\nN\x85R"), /with a None in place of a tensor/],
    ["a function as the result", pickle("ctorch\nSize\n"), /the result contains a "torch\.Size"/],
    [
      "a storage class inside the result",
      pickle("ctorch\nFloatStorage\n\x85"),
      /the result contains a torch\.FloatStorage/,
    ],
    ["a list that contains itself", pickle("]q\0h\0a"), /a list contains itself; cyclic values are refused/],
    ["a dict that contains itself", pickle("}q\0K\x01h\0s"), /a dict contains itself/],
    ["a cycle through a tuple", pickle("]q\0h\0\x85a"), /a list contains itself/],
    [
      "a cycle through attributes",
      pickle("ccollections\nOrderedDict\n)Rq\0}K\x01h\0sb"),
      /OrderedDict contains itself/,
    ],
    ["deep nesting", pickle("]".repeat(201) + "a".repeat(200)), /nested deeper than 200 levels/],
    ["very deep nesting", pickle("]".repeat(1e6) + "a".repeat(1e6 - 1)), /nested deeper than 200 levels/],
    ["deep nesting by tuples", pickle("N" + "\x85".repeat(1e6)), /nested deeper than 200 levels/],
    ["a memo bomb", pickle(`]q\x010${`(${"h\x01".repeat(10)}lq\x010`.repeat(100)}h\x01`), /unfolds to more than/],
    ["doubling tuples", pickle(")" + "2\x86".repeat(100)), /unfolds to more than/],
    ["an integer of 2 GB", pickle("\x8b\xff\xff\xff\x7f"), /integer of 2147483647 bytes; at most 255/],
    ["a string past the end", pickle("X\xff\xff\xff\xff"), /truncated: 4294967295 bytes needed/],
    ["a string of 2^64", pickle("\x8d" + "\xff".repeat(8)), /truncated: a string of 18446744073709551615 bytes/],
    ["invalid UTF-8", pickle("U\x01\xff"), /a string is not valid UTF-8/],
    ["a name without an end", pickle("c" + "a".repeat(100_000)), /a name without an end within 512 bytes/],
    ["an empty stack", pickle("0"), /takes a value from an empty stack/],
    ["a value below the mark", pickle("K\x01(\x85"), /takes a value from an empty stack/],
    ["a mark that was not set", pickle("t"), /goes back to a mark that was not set/],
    ["a memo that was not set", pickle("h\x07"), /takes memo 7, which was not set/],
    ["appending to a tuple", pickle(")K\x01a"), /appends to a tuple/],
    ["items of a list", pickle("]K\x01K\x02s"), /sets items of a list/],
    ["a key without a value", pickle("}(K\x01u"), /a dict has a key without a value/],
    ["a list as a key", pickle("}]K\x01s"), /a dict has a list as a key/],
    ["a frame past the end", pickle("\x95" + "\xff".repeat(8)), /truncated: a frame of/],
    [
      "text that is no bytes",
      pickle("c_codecs\nencode\nX\x02\0\0\0\xc4\x80U\x06latin1\x86R"),
      /text that is not latin1/,
    ],
  ];
  for (const [name, bytes, fault] of cases) test(name, () => refuses(() => readPickle(bytes), fault));

  test("calls that copy cannot multiply memory", () => {
    const long = "a".repeat(60_000);
    const call = "h\x01h\x02R0";
    const program = `c_codecs\nencode\nq\x010X\x60\xea\0\0${long}U\x06latin1\x86q\x020` + call.repeat(1000) + "N";
    refuses(() => readPickle(pickle(program)), /takes more than \d+ bytes for copies/);
  });
});

describe("values that cannot be written", () => {
  const cases: [name: string, value: unknown, message: RegExp][] = [
    ["undefined", { a: undefined }, /value\["a"\] is undefined, which has no plain Python form/],
    ["a function", [() => 1], /value\[0\] is a function/],
    ["a class instance", { d: new Date(0) }, /value\["d"\] is a Date, which has no plain Python form$/],
    ["a typed array", [new Float32Array(1)], /value\[0\] is a Float32Array.*wrap a typed array as a HostTensor/],
    ["half a surrogate pair", "\ud800", /value is a string with half a surrogate pair/],
    ["a list as a key", new Map([[[], 1]]), /value has a list as a key/],
    ["an integer of 300 bytes", 2n ** 2400n, /integer of more than 255 bytes/],
  ];
  for (const [name, value, message] of cases) {
    test(name, () => assert.throws(() => dump(value as PicklableValue), message));
  }

  test("a cycle", () => {
    const cyclic: PicklableValue[] = [];
    cyclic.push([cyclic]);
    assert.throws(() => dump(cyclic), /value\[0\]\[0\] contains itself/);
  });

  test("nesting that the reader would refuse, and no less", () => {
    const nested = (levels: number): PicklableValue => {
      let value: PicklableValue = 1;
      for (let i = 0; i < levels; i++) value = [value];
      return value;
    };
    readPickle(dump(nested(200)));
    assert.throws(() => dump(nested(201)), /nested deeper than 200 levels/);
  });
});
