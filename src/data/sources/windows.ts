/**
 * Long recordings cut into windows: clips of one length, so many frames after each other.
 *
 * A recording of one's own seldom comes cut into actions. Windows that overlap stand in for them: each is a clip, named
 * `RECORDING@FRAME` by the frame it starts with.
 */

export interface Windows {
  /** Frames of a window. */
  readonly length: number;
  /** Frames from the start of one window to the start of the next. */
  readonly hop: number;
}

/** Windows, or what they are at so many frames a second: those of recordings that say how fast they are. */
export type WindowsAtRate = Windows | ((rate: number) => Windows | undefined);

/** The windows at a rate, or undefined where recordings are not cut. */
export function windowsAt(windows: WindowsAtRate | undefined, rate = DEFAULT_RATE): Windows | undefined {
  return typeof windows === "function" ? windows(rate) : windows;
}

/** Frames a second where nothing is said: what a Kinect records. */
export const DEFAULT_RATE = 30;

/**
 * Windows as a user gives them: frames ("90") or seconds ("3s"). Default hop: half a window.
 * @param rate frames a second
 * @throws Error naming the option and its rule
 */
export function parseWindows(
  window: string | undefined,
  hop: string | undefined,
  rate = DEFAULT_RATE,
): Windows | undefined {
  if (window === undefined) {
    if (hop !== undefined) throw new Error("--hop is the step from window to window; it needs --window");
    return undefined;
  }
  const length = parseSpan("window", window, rate);
  const step = hop === undefined ? Math.max(1, length >> 1) : parseSpan("hop", hop, rate);
  if (step <= length) return { length, hop: step };
  throw new Error(`--hop is ${step} frames, more than the window's ${length}; those between would be in no clip`);
}

function parseSpan(option: string, text: string, rate: number): number {
  const match = /^(\d+(?:\.\d+)?)(s?)$/.exec(text.trim());
  const frames = match === null ? NaN : match[2] === "s" ? Math.round(Number(match[1]) * rate) : Number(match[1]);
  if (Number.isSafeInteger(frames) && frames >= 1) return frames;
  throw new Error(
    `--${option} is "${text}"; it must be a number of frames (90) or of seconds (3s), at least one frame`,
  );
}

/**
 * First and last (exclusive) frames of the windows over a recording; they cover all of it: the last one ends with it,
 * and overlaps the one before as much as it must. A recording no longer than a window is one window.
 */
export function windowsOf(frames: number, { length, hop }: Windows): [start: number, end: number][] {
  const starts: number[] = [];
  for (let start = 0; start + length <= frames; start += hop) starts.push(start);
  const covered = starts.length > 0 ? starts[starts.length - 1] + length : 0;
  if (covered < frames) starts.push(Math.max(0, frames - length));
  return starts.map((start) => [start, Math.min(frames, start + length)]);
}

/** The recording of a window's name. */
export function recordingOf(name: string): string {
  return name.replace(/@\d+$/, "");
}
