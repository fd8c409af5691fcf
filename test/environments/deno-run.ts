/** Run by Deno: imports the module at argument 0, calls its export (1) with JSON (2), prints the result as JSON. */
const [file, name, argument] = process.argv.slice(2);
const module = (await import(file!)) as Record<string, (argument: unknown) => unknown>;
const result = await module[name!]!(argument === undefined ? undefined : JSON.parse(argument));
console.log(`RESULT ${JSON.stringify(result)}`);
// A device that was not closed would keep Deno running.
process.exit(0);
export {};
