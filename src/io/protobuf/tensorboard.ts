/**
 * TensorBoard event files: scalars by step, as TensorBoard reads them.
 *
 * A file is a sequence of TFRecords (length as u64, its masked CRC-32C, the data, its masked CRC-32C), each of which
 * holds one `Event` message of tensorflow/core/util/event.proto in protocol-buffer encoding. Only the handful of fields
 * that scalars need are written and read. A record cut off by a kill is passed over by readers.
 */
import { builtin, machineName } from "../builtin.ts";
import { maskedCrc32c } from "./crc32c.ts";
import { readFileBytes } from "../byte-source.ts";
import { FormatError } from "../format-error.ts";
import { BYTES, fieldsOf, FIXED32, FIXED64, Message, VARINT } from "./protobuf.ts";

const fs = (path: string) => builtin<typeof import("node:fs")>("node:fs", path);

/** One event: scalars of a step, the file's version, or the start of a session. */
export interface TensorBoardEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step: number;
  /** "brain.Event:2" in a file's first event. */
  readonly fileVersion?: string;
  readonly scalars?: Readonly<Record<string, number>>;
  /** Tells readers to drop events of this step and later ones from earlier files: training resumed here. */
  readonly sessionStart?: boolean;
}

/** SessionLog.START */
const START = 1;

/**
 * Appends scalars to an event file of its own in `folder`, which must be there (torch.utils.tensorboard.SummaryWriter).
 */
export class TensorBoardWriter {
  readonly path: string;
  #descriptor: number | undefined;

  /** @param resumedAt the step that training goes on from. */
  constructor(folder: string, resumedAt?: number) {
    const { join } = builtin<typeof import("node:path")>("node:path", folder);
    const seconds = Math.floor(Date.now() / 1000);
    this.path = join(
      folder,
      `events.out.tfevents.${String(seconds).padStart(10, "0")}.${machineName() ?? "localhost"}.${process.pid}.${counter++}`,
    );
    this.#descriptor = fs(this.path).openSync(this.path, "wx");
    this.#append({ wallTime: Date.now() / 1000, step: 0, fileVersion: "brain.Event:2" });
    if (resumedAt !== undefined) this.#append({ wallTime: Date.now() / 1000, step: resumedAt, sessionStart: true });
  }

  /**
   * As the constructor, in a folder that is made where it is not there; `resumedAt` is the step that training goes on
   * from.
   */
  static inFolder(folder: string, resumedAt?: number): TensorBoardWriter {
    fs(folder).mkdirSync(folder, { recursive: true });
    return new TensorBoardWriter(folder, resumedAt);
  }

  /**
   * Adds the `scalars` of a step by their tags, such as `train/loss`. `wallTime` is in seconds since 1970; default:
   * now.
   */
  scalars(step: number, scalars: Readonly<Record<string, number>>, wallTime = Date.now() / 1000): void {
    this.#append({ wallTime, step, scalars });
  }

  /** Everything written is on the disk when this returns. */
  close(): void {
    if (this.#descriptor === undefined) return;
    const { closeSync, fsyncSync } = fs(this.path);
    fsyncSync(this.#descriptor);
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  #append(event: TensorBoardEvent): void {
    if (this.#descriptor === undefined) throw new Error(`${this.path}: write after close`);
    const record = encodeRecord(encodeEvent(event));
    const { writeSync } = fs(this.path);
    let done = 0;
    while (done < record.length) done += writeSync(this.#descriptor, record, done);
  }
}

let counter = 0;

/** Data framed as a TFRecord. */
export function encodeRecord(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return record;
}

/** The data of all whole records. @throws FormatError where a checksum does not match. */
export function decodeRecords(bytes: Uint8Array, name = "<bytes>"): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const records: Uint8Array[] = [];
  let at = 0;
  while (at + 12 <= bytes.length) {
    if (maskedCrc32c(bytes.subarray(at, at + 8)) !== view.getUint32(at + 8, true)) {
      throw new FormatError(name, `the length of record ${records.length} does not match its checksum`);
    }
    const length = Number(view.getBigUint64(at, true));
    if (at + 16 + length > bytes.length) break;
    const data = bytes.subarray(at + 12, at + 12 + length);
    if (maskedCrc32c(data) !== view.getUint32(at + 12 + length, true)) {
      throw new FormatError(name, `record ${records.length} does not match its checksum`);
    }
    records.push(data);
    at += 16 + length;
  }
  return records;
}

/** The events of the file at `path`. @throws FormatError where a checksum does not match. */
export function readTensorBoard(path: string): TensorBoardEvent[] {
  return decodeRecords(readFileBytes(path), path).map((record) => decodeEvent(record, path));
}

export function encodeEvent({ wallTime, step, fileVersion, scalars, sessionStart }: TensorBoardEvent): Uint8Array {
  const event = new Message();
  event.double(1, wallTime);
  event.varint(2, step);
  if (fileVersion !== undefined) event.text(3, fileVersion);
  if (scalars) {
    const summary = new Message();
    for (const [tag, value] of Object.entries(scalars)) {
      const entry = new Message();
      entry.text(1, tag);
      entry.float(2, value);
      summary.message(1, entry);
    }
    event.message(5, summary);
  }
  if (sessionStart) {
    const log = new Message();
    log.varint(1, START);
    event.message(7, log);
  }
  return event.toBytes();
}

export function decodeEvent(bytes: Uint8Array, name = "<bytes>"): TensorBoardEvent {
  let event: TensorBoardEvent = { wallTime: 0, step: 0 };
  for (const { field, wire, value } of fieldsOf(bytes, name)) {
    if (field === 1 && wire === FIXED64) event = { ...event, wallTime: viewOf(value).getFloat64(0, true) };
    else if (field === 2 && wire === VARINT) event = { ...event, step: value as number };
    else if (field === 3 && wire === BYTES) event = { ...event, fileVersion: textOf(value) };
    else if (field === 5 && wire === BYTES) event = { ...event, scalars: decodeSummary(value as Uint8Array, name) };
    else if (field === 7 && wire === BYTES) {
      event = {
        ...event,
        sessionStart: fieldsOf(value as Uint8Array, name).some((f) => f.field === 1 && f.value === START),
      };
    }
  }
  return event;
}

function decodeSummary(bytes: Uint8Array, name: string): Record<string, number> {
  const scalars: [string, number][] = [];
  for (const entry of fieldsOf(bytes, name)) {
    if (entry.field !== 1 || entry.wire !== BYTES) continue;
    const fields = fieldsOf(entry.value as Uint8Array, name);
    const tag = fields.find(({ field, wire }) => field === 1 && wire === BYTES);
    const value = fields.find(({ field, wire }) => field === 2 && wire === FIXED32);
    if (tag && value) scalars.push([textOf(tag.value), viewOf(value.value).getFloat32(0, true)]);
  }
  return Object.fromEntries(scalars);
}

function viewOf(value: number | Uint8Array): DataView {
  const bytes = value as Uint8Array;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function textOf(value: number | Uint8Array): string {
  return new TextDecoder().decode(value as Uint8Array);
}
