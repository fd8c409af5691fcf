/** A program as TypeScript that can be pasted. */
import type { Program, Statement } from "./program.ts";
import { LR, MOMENTA } from "./run.ts";

export function print(program: Program): string {
  let variables = 0;
  const lines = program.flatMap((s) => {
    const more: string[] = [];
    if (s.kind === "variable" && ++variables === 2) {
      more.push(`both = new Both(v0, v1);`);
      MOMENTA.forEach((m, i) => {
        more.push(`const o${i} = new SGD([v0, v1], { lr: ${LR}, momentum: ${m} });`);
      });
    }
    return [line(s), ...more];
  });
  return [
    `import { compile, concat, customGradient, device, grad, liveScalar, noGrad, rng, seed, tensor, to, useDevice, variable } from "hico-webgpu";`,
    `import { copyParameters, emaUpdate, Module, readState, SGD } from "hico-webgpu/nn";`,
    `const here = await useDevice(process.env.HICO_DEVICE ?? "cpu");`,
    `const other = await device(here.kind === "reference" ? "cpu" : "reference");`,
    `const double = compile((x) => x.mul(2));`,
    `class Modal extends Module { forward(x) { return this.training ? x.mul(2) : x.add(1); } }`,
    `class Both extends Module { constructor(v0, v1) { super(); Object.assign(this, { v0, v1 }); } }`,
    `const [m, live] = [new Modal(), { value: 0.5 }];`,
    `const varied = compile((x) => m.forward(x).mul(liveScalar(() => live.value)).add(rng().uniform([], -1, 1)));`,
    `let both, saved;`,
    `seed(0);`,
    ...lines,
  ].join("\n");
}

function line(s: Statement): string {
  switch (s.kind) {
    case "host":
      return `const ${s.name} = Float32Array.of(${s.values.join(", ")});`;
    case "mutate":
      return `${s.host}[${s.index}] = ${s.value};`;
    case "tensor":
      return `const ${s.name} = tensor(${s.host}, { shape: [${s.shape.join(", ")}] });`;
    case "variable":
      return `const ${s.name} = variable(${s.from});`;
    case "op":
      return `const ${s.name} = ${s.inputs[0]}.${s.op}(${s.inputs.slice(1).join(", ")});`;
    case "assign":
      return `${s.target}.assign(${s.value});`;
    case "read":
      return s.awaited
        ? `console.log("${s.of}", await ${s.of}.read());`
        : `void ${s.of}.read().then((x) => console.log("${s.of}", x));`;
    case "realize":
      return `await ${s.of}.realize();`;
    case "backward":
      return `${s.of}.sum().backward();`;
    case "clear":
      return `${s.variable}.grad = undefined;`;
    case "readGrad":
      return `console.log("${s.variable}.grad", await ${s.variable}.grad?.read());`;
    case "step":
      return `o${s.optimizer}.step();`;
    case "average":
      return `emaUpdate([${s.target}], [${s.source}], ${s.momentum});`;
    case "copy":
      return `copyParameters([${s.target}], [${s.source}]);`;
    case "define": {
      const inputs = Array.from({ length: s.inputs }, (_, i) => `a${i}`).join(", ");
      return `const ${s.name} = compile((${inputs}) => {\n${s.body.map((b) => `  ${line(b)}`).join("\n")}\n  return ${s.result};\n});`;
    }
    case "extra":
      return s.extra.line;
    case "call":
      return s.awaited
        ? `const ${s.name} = ${s.detached ? "(" : ""}await ${s.f}(${s.inputs.join(", ")})${s.detached ? ").detach()" : ""};`
        : `void ${s.f}(${s.inputs.join(", ")});`;
    case "fails":
      return `await compile(() => { ${s.target}.assign(${s.value}); throw new Error("in the middle"); })().catch(() => undefined);`;
  }
}
