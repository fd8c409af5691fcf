/** Makes `npx hico` work in a clone of the project, as it does where the package is installed. */
import { chmodSync, mkdirSync, rmSync, symlinkSync } from "node:fs";

const command = new URL("../dist/cli/main.js", import.meta.url);
const link = new URL("../node_modules/.bin/hico", import.meta.url);
try {
  chmodSync(command, 0o755);
  mkdirSync(new URL(".", link), { recursive: true });
  rmSync(link, { force: true });
  symlinkSync("../../dist/cli/main.js", link);
} catch (error) {
  // Where links are not allowed, `node dist/cli/main.js` does the same.
  console.warn(`npx hico is not linked: ${error.message}`);
}
