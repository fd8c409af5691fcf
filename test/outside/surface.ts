/** What the installed package exports, read from its declarations, and what README and docs promise. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

/** One exported name of an entry. */
export interface Exported {
  readonly name: string;
  /** File of the declaration. */
  readonly file: string;
  /** Its description; "" where there is none. */
  readonly description: string;
  /** Public members of classes, interfaces and constants. */
  readonly members: ReadonlySet<string>;
  /**
   * Methods and accessors without a description, tensors without a shape, and parameters of functions, constructors and
   * methods that nothing tells the meaning of.
   */
  readonly unsaid: readonly string[];
}

/** The declarations that its package.json names, and what each entry exports. */
function declarationsOf(home: string): { checker: ts.TypeChecker; exported: ReadonlyMap<string, ts.Symbol[]> } {
  const { name, exports } = JSON.parse(readFileSync(join(home, "package.json"), "utf8")) as {
    name: string;
    exports: Record<string, string | { types: string }>;
  };
  const files = Object.entries(exports).flatMap(([entry, target]) =>
    typeof target === "string" ? [] : [[name + entry.slice(1), join(home, target.types)] as const],
  );
  const program = ts.createProgram(
    files.map(([, file]) => file),
    {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      lib: ["lib.es2023.d.ts", "lib.dom.d.ts"],
      types: [],
      skipLibCheck: true,
    },
  );
  const checker = program.getTypeChecker();
  const exported = files.map(([entry, file]) => {
    const module = checker.getSymbolAtLocation(program.getSourceFile(file)!);
    if (!module) throw new Error(`${entry}: ${file} exports nothing`);
    return [entry, checker.getExportsOfModule(module)] as const;
  });
  return { checker, exported: new Map(exported) };
}

/** What stands behind an exported name. */
const behind = (alias: ts.Symbol, checker: ts.TypeChecker): ts.Symbol =>
  alias.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(alias) : alias;

/** Exported names by entry (`hico-webgpu`, `hico-webgpu/nn`, …). */
export function surfaceOf(home: string): Map<string, Map<string, Exported>> {
  const { checker, exported } = declarationsOf(home);
  const describe = (alias: ts.Symbol): Exported => {
    const symbol = behind(alias, checker);
    const at = symbol.declarations?.[0];
    const types = [
      ...(symbol.flags & ts.SymbolFlags.Type ? [checker.getDeclaredTypeOfSymbol(symbol)] : []),
      ...(symbol.flags & ts.SymbolFlags.Value && at ? [checker.getTypeOfSymbolAtLocation(symbol, at)] : []),
    ];
    return {
      name: alias.name,
      file: at?.getSourceFile().fileName.slice(home.length + 1) ?? "",
      description: ts.displayPartsToString(symbol.getDocumentationComment(checker)).trim(),
      unsaid: [
        ...unsaidMethods(symbol, checker),
        ...unsaidTensors(symbol, checker),
        ...unsaidParameters(symbol, checker),
      ],
      members: new Set(types.flatMap((type) => checker.getPropertiesOfType(type).map((member) => member.name))),
    };
  };
  return new Map(
    [...exported].map(([entry, symbols]) => [
      entry,
      new Map(symbols.map((symbol) => [symbol.name, describe(symbol)] as const)),
    ]),
  );
}

/** What the engine's own parts give each other through public members, which no program keeps. */
const ENGINE = new Set([
  "Backend.compile",
  "CpuDevice.compile",
  "CpuDevice.realize",
  "FusedOp.loop",
  "ReferenceDevice.compile",
  "Tensor.node",
  "Variable.node",
  "Variable.state",
  "WebGpuDevice.compile",
  "WebGpuDevice.gpu",
  "WebGpuDevice.realize",
]);

/**
 * A program that keeps what every exported function gives, and what public members hold and give, without a word of
 * types: its declarations are written only where all of these types have names that can be imported.
 */
export function keepingAll(home: string): string {
  const { checker, exported } = declarationsOf(home);
  const lines = [...exported.keys()].map((entry, i) => `import * as entry${i} from "${entry}";`);
  const keep = (value: string): number => lines.push(`export const kept${lines.length} = ${value};`);
  // `Parameters` has nothing to say of a rest parameter that is a readonly array.
  const called = (callee: ts.Symbol, type: string): string => {
    const [first] = checker.getTypeOfSymbol(callee).getCallSignatures()[0]?.parameters ?? [];
    const at = first?.valueDeclaration;
    return at && ts.isParameter(at) && at.dotDotDotToken ? "()" : `(...(null! as Parameters<${type}>))`;
  };
  [...exported.values()].forEach((symbols, i) => {
    for (const alias of symbols) {
      const symbol = behind(alias, checker);
      const name = `entry${i}.${alias.name}`;
      if (symbol.flags & ts.SymbolFlags.Function) keep(`${name}${called(symbol, `typeof ${name}`)}`);
      if (!(symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface))) continue;
      const type = checker.getDeclaredTypeOfSymbol(symbol) as ts.InterfaceType;
      const given = type.typeParameters?.map(() => "any").join();
      const whole = given === undefined ? name : `${name}<${given}>`;
      for (const member of publicMembers(type, checker)) {
        if (ENGINE.has(`${alias.name}.${member.name}`)) continue;
        const isMethod = (member.flags & ts.SymbolFlags.Method) !== 0;
        const call = isMethod ? `!${called(member, `NonNullable<${whole}["${member.name}"]>`)}` : "";
        keep(`(null! as ${whole}).${member.name}${call}`);
      }
    }
  });
  return `${lines.join("\n")}\n`;
}

const described = (symbol: ts.Symbol, checker: ts.TypeChecker): string =>
  ts.displayPartsToString(symbol.getDocumentationComment(checker)).trim();

/** Everything said of it: its description and what its tags say, of all its declarations. */
function allSaid(of: ts.Symbol | ts.Signature, checker: ts.TypeChecker): string {
  const tags = "declaration" in of ? of.getJsDocTags() : (of as ts.Symbol).getJsDocTags(checker);
  return ts.displayPartsToString([...of.getDocumentationComment(checker), ...tags.flatMap((tag) => tag.text ?? [])]);
}

/** Whether it is of TypeScript's own libraries. */
const isForeign = (at: ts.Node | undefined): boolean => !at || at.getSourceFile().fileName.includes("/typescript/");

/** Members of a type of the package that anybody may use. */
const publicMembers = (type: ts.Type, checker: ts.TypeChecker): ts.Symbol[] =>
  checker.getPropertiesOfType(type).filter((member) => {
    const [at] = member.declarations ?? [];
    if (!at || isForeign(at) || member.name.startsWith("__")) return false;
    if (ts.isPropertyDeclaration(at) && ts.isPrivateIdentifier(at.name)) return false;
    return !(ts.getCombinedModifierFlags(at) & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected));
  });

/** Public methods and accessors of a class of the package that nothing is said of, here or where they are inherited from. */
function unsaidMethods(symbol: ts.Symbol, checker: ts.TypeChecker): string[] {
  if (!(symbol.flags & ts.SymbolFlags.Class)) return [];
  const calls = ts.SymbolFlags.Method | ts.SymbolFlags.Accessor;
  return publicMembers(checker.getDeclaredTypeOfSymbol(symbol), checker)
    .filter((member) => member.flags & calls && described(member, checker) === "")
    .map((member) => `${symbol.name}.${member.name}() has no description`);
}

/** What tells of a shape or of what there is for every element. */
const SHAPED = /\[|shape|scalar|element|same|nested|axis|axes|broadcast|variable|as `|matri|vector/i;

/** Exported functions that take or give tensors and say nothing of their shapes. */
function unsaidTensors(symbol: ts.Symbol, checker: ts.TypeChecker): string[] {
  const [at] = symbol.declarations ?? [];
  if (!at || !(symbol.flags & ts.SymbolFlags.Function)) return [];
  const [signature] = checker.getTypeOfSymbolAtLocation(symbol, at).getCallSignatures();
  const isTensor = (type: ts.Type): boolean => ["Tensor", "Variable"].includes(type.symbol?.name ?? "");
  const types = signature.parameters.map((one) => checker.getTypeOfSymbolAtLocation(one, at));
  if (![...types, signature.getReturnType()].some(isTensor)) return [];
  const tags = ts.displayPartsToString(signature.getJsDocTags().flatMap((tag) => tag.text ?? []));
  const said = `${described(symbol, checker)} ${tags}`;
  return SHAPED.test(said) ? [] : [`${symbol.name}() takes or gives tensors and says nothing of their shapes`];
}

/** One way to call what is exported. */
interface Call {
  /** `f`, `new C` or `C.method`. */
  readonly name: string;
  readonly signature: ts.Signature;
  /** Whose docstring tells of the call besides the signature's own: the function, the class, the method. */
  readonly of: ts.Symbol;
}

/** A function's overloads; a class's constructors, public methods and static ones. */
function callsOf(symbol: ts.Symbol, checker: ts.TypeChecker): Call[] {
  const [at] = symbol.declarations ?? [];
  if (!at || !(symbol.flags & ts.SymbolFlags.Value)) return [];
  const type = checker.getTypeOfSymbolAtLocation(symbol, at);
  const calls = (name: string, of: ts.Symbol, signatures: readonly ts.Signature[]): Call[] =>
    signatures.filter(({ declaration }) => !isForeign(declaration)).map((signature) => ({ name, signature, of }));
  if (!(symbol.flags & ts.SymbolFlags.Class)) return calls(symbol.name, symbol, type.getCallSignatures());
  const methods = [checker.getDeclaredTypeOfSymbol(symbol), type]
    .flatMap((side) => publicMembers(side, checker))
    .filter((member) => member.flags & ts.SymbolFlags.Method);
  return [
    ...calls(`new ${symbol.name}`, symbol, type.getConstructSignatures()),
    ...methods.flatMap((method) =>
      calls(`${symbol.name}.${method.name}`, method, checker.getTypeOfSymbol(method).getCallSignatures()),
    ),
  ];
}

/** Whether a type, or a part of a union of them, is a described one of the package. One tensor is like another. */
function isTelling(type: ts.Type, checker: ts.TypeChecker): boolean {
  const parts = [type, ...(type.isUnionOrIntersection() ? type.types : [])];
  return parts.some((part) => {
    const symbol = part.aliasSymbol ?? (part.getSymbol() as ts.Symbol | undefined);
    if (!symbol || isForeign(symbol.declarations?.[0]) || ["Tensor", "Variable"].includes(symbol.name)) return false;
    return described(symbol, checker) !== "";
  });
}

/** Names that stand in any sentence: only in backticks are they names. */
const EVERYDAY = /^(?:an?|as|at|by|for|from|how|in|of|on|to|what|which|with)$/;

/** Whether a text names a parameter: as it is written, or as words, of which there may be several. */
function isNamed(parameter: string, said: string): boolean {
  const words = parameter.replace(/([a-z])([A-Z])/g, "$1 $2");
  const name = new RegExp(`\\b(?:${parameter}|${words})(?:e?s)?\\b`, "i");
  const code = [...said.matchAll(/`([^`]*)`/g)].map(([, inside]) => inside);
  return EVERYDAY.test(parameter) ? code.some((inside) => name.test(inside)) : name.test(said);
}

/**
 * Parameters of functions, constructors and methods whose meaning is nowhere: they have no `@param`, the docstring does
 * not name them, and their type is none that is described. One that is taken apart in the declaration has no name.
 */
function unsaidParameters(symbol: ts.Symbol, checker: ts.TypeChecker): string[] {
  return callsOf(symbol, checker).flatMap(({ name, signature, of }) => {
    const said = `${allSaid(of, checker)} ${allSaid(signature, checker)}`;
    const isTold = (parameter: ts.Symbol): boolean =>
      parameter.name.startsWith("__") ||
      described(parameter, checker) !== "" ||
      isNamed(parameter.name, said) ||
      isTelling(checker.getTypeOfSymbol(parameter), checker);
    const silent = signature.parameters.filter((parameter) => !isTold(parameter));
    return silent.map((parameter) => `${name}(${parameter.name}) is neither described nor named`);
  });
}

type Surface = ReturnType<typeof surfaceOf>;

/** Exported names and methods without a description, tensors without a shape, parameters without a meaning, in words. */
export function undescribed(surface: Surface): string[] {
  const missing = new Map<string, string>();
  for (const [entry, names] of surface) {
    for (const { name, file, description, unsaid } of names.values()) {
      if (description === "") missing.set(`${file} ${name}`, `${entry}: ${name} (${file}) has no description`);
      for (const what of unsaid) missing.set(`${file} ${what}`, `${entry}: ${what} (${file})`);
    }
  }
  return [...missing.values()];
}

/** The rows of a table of imports: what a cell `hico-webgpu/…` says is in it, names in backticks. */
export function promisedRows(markdown: string): { entry: string; names: string[] }[] {
  return [...markdown.matchAll(/^\| (`hico-webgpu[^|]*) \|(.*)\|$/gm)].flatMap(([, cell, text]) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, entry]) => ({
      entry,
      names: [...text.matchAll(/`([A-Za-z_]\w*)(?:\([^`]*\))?`/g)].map(([, name]) => name),
    })),
  );
}

/** Calls that running text names in backticks: `gradcheck(f, inputs)`, `x.lt(y)`. Code blocks are left out. */
export function promisedCalls(markdown: string): string[] {
  const text = markdown.replace(/^\s*```[\s\S]*?^\s*```/gm, "");
  return [...text.matchAll(/`(?:await )?(?:new )?([A-Za-z_][\w.]*)\([^`]*`/g)].map(([, name]) => name);
}

/** What of a page's promises the package does not keep, in words. */
export function unkept(page: string, markdown: string, surface: Surface): string[] {
  const all = [...surface.values()].flatMap((names) => [...names.values()]);
  const members = (of: Iterable<Exported>): Set<string> => new Set([...of].flatMap((one) => [...one.members]));
  const anyMember = members(all);
  const anyName = new Set(all.map((one) => one.name));
  const rows = promisedRows(markdown).flatMap(({ entry, names }) => {
    const there = surface.get(entry);
    if (!there) return [`${page}: there is no entry ${entry}`];
    const known = members(there.values());
    return names
      .filter((name) => !there.has(name) && !known.has(name))
      .map((name) => `${page}: ${entry} is said to hold ${name}, which it does not export`);
  });
  const calls = promisedCalls(markdown).filter((call) => {
    const parts = call.split(".");
    const last = parts.at(-1)!;
    return parts.length === 1 ? !anyName.has(last) && !anyMember.has(last) : !anyMember.has(last) && !anyName.has(last);
  });
  return [...rows, ...calls.map((call) => `${page}: \`${call}(…)\` is exported from nowhere`)];
}
