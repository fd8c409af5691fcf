/**
 * `variable`, and with it all that `backward` needs: who makes a variable calls that sooner or later, as a method, which
 * no bundler sees.
 */
import "./grad.ts";

export { variable } from "../tensor/variable.ts";
