/**
 * ONNX models, written: a graph of named operators over float tensors, with its weights, in one file.
 *
 * A file is one `ModelProto` in protocol-buffer encoding (https://github.com/onnx/onnx, onnx/onnx.proto; field numbers
 * below are that file's). Only what a graph of plain operators needs is written: nodes with attributes, initializers as
 * raw little-endian bytes, typed inputs and outputs, metadata.
 */
import { writeFileAtomic } from "../byte-sink.ts";
import type { HostDType, HostTensor } from "../host-tensor.ts";
import { bytesOf, hostTensorFault } from "../host-tensor.ts";
import { Message } from "./protobuf.ts";

/** An attribute; integers are at least 0. */
export type OnnxAttribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly text: string };

/** One operator of an ONNX graph. */
export interface OnnxNode {
  /** The operator, e.g. "MatMul". */
  readonly op: string;
  /** Names of values; "" for an optional one that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
}

/** A float32 input or output. A word as a size is one that may vary, known by that name. */
export interface OnnxValue {
  readonly name: string;
  readonly shape: readonly (number | string)[];
}

/** An ONNX model: nodes, constants, and what goes in and out. */
export interface OnnxModel {
  readonly name: string;
  readonly description?: string;
  /** Version of the operator set. */
  readonly opset: number;
  /** In an order in which they can run. */
  readonly nodes: readonly OnnxNode[];
  readonly initializers: ReadonlyMap<string, HostTensor>;
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly metadata?: Readonly<Record<string, string>>;
}

/** The version of the format itself that goes with operator sets up to 18. */
const IR_VERSION = 8;
/** TensorProto.DataType */
const DATA_TYPES: Readonly<Partial<Record<HostDType, number>>> = {
  f32: 1,
  u8: 2,
  i8: 3,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
  f64: 11,
};
/** Readers take protocol buffers up to this many bytes. */
const MAX_BYTES = 2 ** 31 - 1;

/** Writes the model to `path`; the file appears whole or not at all. @throws Error as `encodeOnnx`. */
export function writeOnnx(path: string, model: OnnxModel): void {
  const bytes = encodeOnnx(model);
  writeFileAtomic(path, (sink) => sink.write(bytes));
}

/**
 * The bytes of the file. @throws Error for a value that no node, input or initializer makes before it is used, for one
 * made twice, for tensors of a dtype that ONNX lacks, and past 2 GiB.
 */
export function encodeOnnx(model: OnnxModel): Uint8Array {
  checkGraph(model);
  const graph = new Message();
  model.nodes.forEach((node, i) => graph.message(1, encodeNode(node, `${node.op}_${i}`)));
  graph.text(2, model.name);
  for (const [name, tensor] of model.initializers) graph.message(5, encodeTensor(name, tensor));
  for (const value of model.inputs) graph.message(11, encodeValue(value));
  for (const value of model.outputs) graph.message(12, encodeValue(value));
  const message = new Message().varint(1, IR_VERSION).text(2, "hico-webgpu");
  if (model.description !== undefined) message.text(6, model.description);
  message.message(7, graph).message(8, new Message().text(1, "").varint(2, model.opset));
  for (const [key, value] of Object.entries(model.metadata ?? {})) {
    message.message(14, new Message().text(1, key).text(2, value));
  }
  if (message.size > MAX_BYTES)
    throw new Error(`onnx: a model of ${message.size} bytes; the format holds ${MAX_BYTES}`);
  return message.toBytes();
}

function checkGraph({ nodes, initializers, inputs, outputs }: OnnxModel): void {
  const known = new Set<string>();
  const define = (name: string): void => {
    if (name === "" || known.has(name)) throw new Error(`onnx: the value "${name}" is made twice, or has no name`);
    known.add(name);
  };
  const use = (name: string, where: string): void => {
    if (!known.has(name)) throw new Error(`onnx: ${where} takes "${name}", which nothing before it makes`);
  };
  for (const { name } of inputs) define(name);
  for (const name of initializers.keys()) define(name);
  for (const node of nodes) {
    for (const name of node.inputs) if (name !== "") use(name, node.op);
    for (const name of node.outputs) if (name !== "") define(name);
  }
  for (const { name } of outputs) use(name, "the output");
}

function encodeNode({ op, inputs, outputs, attributes = {} }: OnnxNode, name: string): Message {
  const node = new Message();
  for (const input of inputs) node.text(1, input);
  for (const output of outputs) node.text(2, output);
  node.text(3, name).text(4, op);
  for (const [key, value] of Object.entries(attributes)) node.message(5, encodeAttribute(key, value));
  return node;
}

function encodeAttribute(name: string, value: OnnxAttribute): Message {
  const attribute = new Message().text(1, name);
  // AttributeProto.AttributeType: FLOAT 1, INT 2, STRING 3, INTS 7
  if ("float" in value) return attribute.float(2, value.float).varint(20, 1);
  if ("int" in value) return attribute.varint(3, value.int).varint(20, 2);
  if ("text" in value) return attribute.text(4, value.text).varint(20, 3);
  return attribute.packed(8, value.ints).varint(20, 7);
}

function encodeTensor(name: string, tensor: HostTensor): Message {
  const fault = hostTensorFault(tensor);
  if (fault !== undefined) throw new Error(`onnx: "${name}": ${fault}`);
  const type = DATA_TYPES[tensor.dtype];
  if (type === undefined)
    throw new Error(`onnx: "${name}" is ${tensor.dtype}; there is ${Object.keys(DATA_TYPES).join(", ")}`);
  return new Message().packed(1, tensor.shape).varint(2, type).text(8, name).bytes(9, bytesOf(tensor.data));
}

function encodeValue({ name, shape }: OnnxValue): Message {
  const dims = new Message();
  for (const size of shape) {
    dims.message(1, typeof size === "number" ? new Message().varint(1, size) : new Message().text(2, size));
  }
  const tensor = new Message().varint(1, DATA_TYPES.f32!).message(2, dims);
  return new Message().text(1, name).message(2, new Message().message(1, tensor));
}
