/** Which planted errors concern the kit, and which checks are the likeliest to find one: these run first. */
import type { Mutation } from "../mutation.ts";

/** Edits that change no value, no gradient and no refusal of what the engine is asked for. */
const OUTSIDE: readonly (readonly [file: string, find: string, why: string])[] = [
  ["src/device/recently-used.ts", "this.#entries.size", "memory: a cache without an end"],
  ["src/device/cpu/memory.ts", "size);", "memory: what is not given back"],
  ["src/device/cpu/memory.ts", "before !== undefined", "memory: free blocks that are not joined"],
  [
    "src/wasm/matmul/packing.ts",
    "valid - 4 * group",
    "memory: reads beside an operand, in lanes that nothing is made of",
  ],
  ["src/wasm/blocks/copy.ts", "f.least(i32.add(row", "memory: reads beside a tensor, in rows that nothing is made of"],
  [
    "src/wasm/print/reduce-columns.ts",
    "f.store(context.threadMemory, vectors[k]",
    "speed: vectors that V8 does not join",
  ],
  ["src/wasm/assembler/function.ts", "this.#zero", "speed: vectors that V8 does not join"],
  ["src/device/cpu/worker-text.ts", "memory.grow(0)", "a race within V8, which only an imitation of it shows"],
  ["src/autograd/checkpoint.ts", "late(new Tensor(node))", "memory: when values are computed again"],
  ["src/autograd/checkpoint.ts", "isDraw(node)))", "memory: when draws are asked for again"],
  [
    "src/wasm/work-sharing.ts",
    "Math.ceil(call.units / PIECES)",
    "speed: where an engine's faster code of a kernel sets in",
  ],
  ["src/wasm/print/expr-kernel.ts", "e.word - firstWord", "sizes of programs: kernels printed once"],
  ["src/compiler/int-expr.ts", "if (factor !== 0)", "speed: parts of an index that are nothing"],
  ["src/compiler/decompose.ts", "rewritten.set(input, input)", "speed: what is rewritten already is visited again"],
  ["src/hico/model/model.ts", ".contiguous()", "speed: a queue's columns are drawn twice"],
  ["src/tensor/program/long-programs.ts", "LONG_PROGRAM", "sizes of plans: a loop in one plan"],
  ["src/tensor/program/pending.ts", "cutLongPrograms", "sizes of plans: where a long program is cut"],
  ["src/shaders/matmul/split-k.ts", "% ${parts}) * ${depth}", "unreached: no plan of the engine has such a product"],
  ["src/shaders/matmul/grouped.ts", "(b % ${first.batch})", "unreached: no plan of the engine has such a product"],
];

/** Why an edit is none that the kit could see; undefined where it is. */
export function outside({ file, find }: Mutation): string | undefined {
  return OUTSIDE.find(([of, text]) => file === of && find.includes(text))?.[2];
}

/** Parts of names of checks by paths of files. */
const LIKELY: readonly (readonly [path: RegExp, checks: string])[] = [
  [
    /tensor\/elementwise/,
    "gradient of sums and,gradient of quotients,gradient of powers,gradient of ext,gradient of sign,gradient of exp," +
      "gradient of angles,gradient of smooth,gradient of choices,kinks,far out,special,quotients,choices,bits,smooth,angles",
  ],
  [/recorded|program-layout/, "memory of plans"],
  [/assembler\/module/, "sizes of modules"],
  [/row-local/, "whose rows,side by side,dispatches"],
  [/persistent|loop-memory|row-local|print\/matmul/, "a cell over time,many rows,a cell,gruScan"],
  [/shaders\/matmul\/edges/, "large products in batches"],
  [/shaders\/matmul/, "by the tile,side by side"],
  [
    /shaders\/print\/forms/,
    "in pairs,far below,below zero,bits,angles,last digits,choices,far out,special,sign and size",
  ],
  [
    /shaders\/print\/reduce/,
    "largest of negative,sums over axes,long rows,sums longer,GPUs: means,large sums,products",
  ],
  [
    /(wasm|shaders)\/(matmul|print\/matmul|assembler|blocks)/,
    "large matmul,large products,wide,long inner,matmul,products,conv2d,attention,infoNCE",
  ],
  [
    /print\/(reduce|combine)/,
    "many long,long columns,large sums,large largest,longer,sums,largest,means,many long,softmax,layerNorm",
  ],
  [/(wasm|shaders)\/scan/, "Scan"],
  [
    /print\/helpers|methods\/indexing/,
    "casts,truths by index,last digits,smooth,angles,rests,division,draws,exponentials",
  ],
  [/print\/bindings/, "truths,choices,draws,casts"],
  [/index-checks/, "refusals"],
  [/ops\/scan\.ts|specs\/cells/, "Scan of 2,gradient of gru,gradient of lstm,Scan"],
  [/masked-attention/, "causal,rotary"],
  [/attention/, "attention"],
  [/info-nce|contrastive/, "infoNCE"],
  [/top-k/, "topK"],
  [/autograd\/loop/, "a cell"],
  [/autograd\/forward/, "tangents,tables,hessian"],
  [/autograd\/custom/, "a gradient of one's own,refusals,programs"],
  [/autograd\/(grad|vjp)|history/, "of equals,stopped,several passes,gradient of,programs"],
  [/kernels\/define/, "one's own,of one name,refusals"],
  [/checkpoint/, "computed again"],
  [/ops\/softmax/, "softmax,logSumExp"],
  [/ops\/normalization/, "Norm"],
  [/cross-entropy/, "crossEntropy"],
  [/batch-norm/, "batch,statistics,norm"],
  [/pooling/, "window,pool"],
  [/convolve/, "every channel,dilation,conv"],
  [/padding/, "around"],
  [/spatial/, "window,conv,pool,norm,samples,around,mean of,columns"],
  [/ops\/convolution/, "samples,depthwise"],
  [/activations/, "activations"],
  [/ops\/arrays/, "running,order,writing,parts,activations"],
  [/sampling/, "likeliest"],
  [/sequence\/cache/, "cache"],
  [/optim/, "SGD,Adam,starts again,settings,scaled losses,programs"],
  [/initializers/, "first values"],
  [/autocast|module\.ts/, "compiled"],
  [/random|threefry/, "draws,programs"],
  [/tensor\/(program|create|dtype|door|bounds)/, "programs,whole,compiled,refusals,memory of traces"],
  [
    /print\/(expr|access|math|loop|elementwise)|compiler/,
    "last digits,joins,views,windows,pads,angles,draws,choices,special,rectifiers,graphs",
  ],
  [/compiler\/(plan|graph)/, "variables,starts again,scaled,programs"],
  [/compiler\/fusion/, "of one size,view of another,graphs"],
  [/autograd\/total/, "slices side by side"],
  [/loop-layout|matmul\/matmul/, "many rows,rows at steps of their own"],
  [/work-sharing|device\/cpu/, "on one thread,long,wide,products,the same bits"],
];

/** Parts of names of checks that are likely to find an edit. */
export function firstFor({ file, tests }: Mutation): string[] {
  const row = tests.map((test) => /#\^(\w+)/.exec(test)?.[1]).filter((name) => name !== undefined);
  return [...row, ...LIKELY.filter(([path]) => path.test(file)).flatMap(([, checks]) => checks.split(","))];
}
