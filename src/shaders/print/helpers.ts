/** WGSL functions that printed expressions call, put into a kernel only where they are used. */
import { THREEFRY_PARITY, THREEFRY_ROTATIONS, THREEFRY_ROUNDS } from "../../tensor/random.ts";

/** Writes a function for f32 (`name_1`) and for vec4<f32> (`name_4`). */
function bothWidths(
  write: (suffix: string, float: string, splat: (v: string) => string, bool: string) => string,
): string {
  return write("1", "f32", (v) => v, "bool") + "\n" + write("4", "vec4<f32>", (v) => `vec4<f32>(${v})`, "vec4<bool>");
}

/** Integer division and remainder rounded towards minus infinity, 0 for a divisor of 0. */
function floorDivision(type: "i32" | "u32", lanes: 1 | 4): string {
  const t = lanes === 1 ? type : `vec4<${type}>`;
  const suffix = type === "i32" ? "" : "u";
  const [zero, unit] = [`${t}(0${suffix})`, `${t}(1${suffix})`];
  const adjust =
    type === "i32" ? `q = q - select(${zero}, ${unit}, (r != ${zero}) & ((r < ${zero}) != (d < ${zero})));` : "";
  return `
fn floor_div_${type}_${lanes}(x: ${t}, y: ${t}) -> ${t} {
  let d = select(y, ${unit}, y == ${zero});
  var q = x / d;
  let r = x - q * d;
  ${adjust}
  return select(q, ${zero}, y == ${zero});
}
fn floor_mod_${type}_${lanes}(x: ${t}, y: ${t}) -> ${t} {
  return select(x - y * floor_div_${type}_${lanes}(x, y), ${zero}, y == ${zero});
}`;
}

/** Abramowitz and Stegun's formula 7.1.26 has 1.5e-7 absolute error; near 0 the series keeps relative accuracy. */
const ERF = bothWidths(
  (n, f, s) => `
fn erf_${n}(x: ${f}) -> ${f} {
  let a = abs(x);
  let t = ${s("1.0f")} / (${s("1.0f")} + ${s("0.3275911f")} * a);
  let p = ((((${s("1.061405429f")} * t - ${s("1.453152027f")}) * t + ${s("1.421413741f")}) * t
    - ${s("0.284496736f")}) * t + ${s("0.254829592f")}) * t;
  let far = sign(x) * (${s("1.0f")} - p * exp(-a * a));
  let x2 = x * x;
  let near = x * ${s("1.1283791671f")} * (${s("1.0f")} - x2 * (${s("0.33333333333f")} - x2 * (${s("0.1f")} - x2 * ${s("0.0238095238f")})));
  return select(far, near, a < ${s("0.25f")});
}`,
);

const EXPM1 = bothWidths(
  (n, f, s) => `
fn expm1_${n}(x: ${f}) -> ${f} {
  let near = x * (${s("1.0f")} + x * (${s("0.5f")} + x * (${s("0.16666667f")} + x * (${s("0.041666667f")} + x * ${s("0.0083333333f")}))));
  return select(exp(x) - ${s("1.0f")}, near, abs(x) < ${s("0.25f")});
}`,
);

const LOG1P = bothWidths(
  (n, f, s) => `
fn log1p_${n}(x: ${f}) -> ${f} {
  let u = x / (${s("2.0f")} + x);
  let u2 = u * u;
  let near = ${s("2.0f")} * u * (${s("1.0f")} + u2 * (${s("0.33333333f")} + u2 * (${s("0.2f")} + u2 * ${s("0.14285714f")})));
  return select(log(${s("1.0f")} + x), near, abs(x) < ${s("0.3f")});
}`,
);

/** x^y with C's rules for negative bases (whole exponents only); 0^0 is 1. */
const POWER = bothWidths(
  (n, f, s, b) => `
fn power_${n}(x: ${f}, y: ${f}) -> ${f} {
  let size = exp2(y * log2(max(abs(x), ${s("1.1754944e-38f")})));
  let odd: ${b} = (abs(y) < ${s("16777216.0f")}) & ((abs(y) - ${s("2.0f")} * floor(abs(y) * ${s("0.5f")})) == ${s("1.0f")});
  let signed = select(size, -size, (x < ${s("0.0f")}) & odd);
  let zero = select(${s("0.0f")}, ${s("3.4028234e38f")}, y < ${s("0.0f")});
  return select(select(signed, zero, x == ${s("0.0f")}), ${s("1.0f")}, y == ${s("0.0f")});
}`,
);

/**
 * Sine and cosine: the angle less a multiple of π/2, subtracted in three parts so that little is lost, then a polynomial
 * on ±π/4. Reduction and coefficients: Moshier, Cephes library (sinf.c).
 */
const TRIGONOMETRY = bothWidths((n, f, s) => {
  const [int, one, two] = n === "1" ? ["i32", "1", "2"] : ["vec4<i32>", "vec4<i32>(1)", "vec4<i32>(2)"];
  return `
fn quarter_turns_${n}(x: ${f}, turned: ${int}) -> ${f} {
  let q = round(x * ${s("0.63661977f")});
  let r = ((x - q * ${s("1.5703125f")}) - q * ${s("4.8375129699707031e-4f")}) - q * ${s("7.5497899548918822e-8f")};
  let r2 = r * r;
  let odd = r + r * r2 * (${s("-0.16666654611f")} + r2 * (${s("8.3321608736e-3f")} - r2 * ${s("1.9515295891e-4f")}));
  let even = ${s("1.0f")} - ${s("0.5f")} * r2 + r2 * r2 * (${s("4.1666645683e-2f")} + r2 * (${s("-1.3887316255e-3f")} + r2 * ${s("2.4433157118e-5f")}));
  let k = ${int}(q) + turned;
  let v = select(odd, even, (k & ${one}) == ${one});
  return select(v, -v, (k & ${two}) == ${two});
}
fn sine_${n}(x: ${f}) -> ${f} { return quarter_turns_${n}(x, ${int}(0)); }
fn cosine_${n}(x: ${f}) -> ${f} { return quarter_turns_${n}(x, ${int}(1)); }`;
});

function threefry(): string {
  const lines: string[] = [];
  for (let round = 0; round < THREEFRY_ROUNDS; round++) {
    const r = THREEFRY_ROTATIONS[round % 8];
    lines.push(`  x0 = x0 + x1; x1 = ((x1 << ${r}u) | (x1 >> ${32 - r}u)) ^ x0;`);
    if (round % 4 === 3) {
      const s = (round + 1) / 4;
      lines.push(`  x0 = x0 + k${s % 3}; x1 = x1 + k${(s + 1) % 3} + ${s}u;`);
    }
  }
  return `
fn threefry(k0: u32, k1: u32, c0: u32, c1: u32) -> vec2<u32> {
  let k2 = k0 ^ k1 ^ ${THREEFRY_PARITY}u;
  var x0 = c0 + k0;
  var x1 = c1 + k1;
${lines.join("\n")}
  return vec2<u32>(x0, x1);
}
fn threefry_word(k0: u32, k1: u32, index: u32, call: u32) -> u32 {
  let block = threefry(k0, k1, index >> 1u, call);
  return select(block.x, block.y, (index & 1u) == 1u);
}`;
}

const HELPERS: Record<string, string> = {
  erf: ERF,
  expm1: EXPM1,
  log1p: LOG1P,
  power: POWER,
  trigonometry: TRIGONOMETRY,
  threefry: threefry(),
  floorDiv: (["i32", "u32"] as const).flatMap((t) => [floorDivision(t, 1), floorDivision(t, 4)]).join("\n"),
};

/** The text of a helper, in every width. */
export function helperText(name: string): string {
  const text = HELPERS[name];
  if (text === undefined) throw new Error(`internal: no WGSL helper named "${name}"`);
  return text;
}
