/**
 * Headless Chromium with WebGPU, both from npm (`@sparticuz/chromium`, driven by `puppeteer-core`), to run a bundled
 * module in a real browser. There is no GPU in CI, so WebGPU runs on the SwiftShader that the package carries.
 */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Page } from "puppeteer-core";
import { cached } from "./cached.ts";

/** How a page is served. */
interface PageOptions {
  readonly isolated?: boolean;
  readonly policy?: string;
}

/** A started browser. */
export interface Browser {
  /**
   * Bundles the module at `file` (a URL), imports it in a page and calls its export `name` with `argument`.
   * Argument and result are plain data. What the page logs is printed when the call fails. An `isolated` page is
   * cross-origin isolated, as shared memory asks for; `policy` is its content security policy.
   */
  run<Result>(file: URL, name: string, argument?: unknown, options?: PageOptions): Promise<Result>;
  /** Opens the file at `path`, or a URL of this machine, in a page of its own and hands the page to `look`. */
  view<Result>(path: string, look: (page: Page, log: readonly string[]) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

/**
 * Arguments of the package that would turn WebGPU off, put everything into one process, or keep a page from being
 * cross-origin isolated and yet give it shared memory.
 */
const unwanted = new RegExp(
  "disable-gpu|use-gl|use-angle|single-process|in-process-gpu|no-zygote|headless" +
    "|site-isolation|site-per-process|web-security|SharedArrayBuffer",
);

const wanted = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan",
  "--ignore-gpu-blocklist",
  "--no-sandbox",
];

/**
 * Path of the browser, unpacked once into the cache folder. The package unpacks into the temporary folder, where a
 * second process would find a half-written file; so it is given one of its own, and a rename puts it in place.
 */
async function unpackChromium(): Promise<string> {
  const { default: chromium } = await import("@sparticuz/chromium");
  const folder = cached("chromium-147");
  if (!existsSync(folder)) {
    mkdirSync(dirname(folder), { recursive: true });
    const unpacking = mkdtempSync(`${folder}-unpacking-`);
    const temporary = process.env.TMPDIR;
    process.env.TMPDIR = unpacking;
    try {
      await chromium.executablePath();
      renameSync(unpacking, folder);
    } catch (error) {
      rmSync(unpacking, { recursive: true, force: true });
      // Another process was faster.
      if (!existsSync(folder)) throw error;
    } finally {
      if (temporary === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = temporary;
    }
  }
  return join(folder, "chromium");
}

/** Starts Chromium, or says why that cannot be done here. */
export async function startChromium(): Promise<Browser | { readonly unavailable: string }> {
  try {
    const { default: chromium } = await import("@sparticuz/chromium");
    const { default: puppeteer } = await import("puppeteer-core");
    const browser = await puppeteer.launch({
      executablePath: await unpackChromium(),
      headless: "shell",
      args: [...chromium.args.filter((arg) => !unwanted.test(arg)), ...wanted],
      timeout: 60_000,
    });
    return {
      run: async <Result>(file: URL, name: string, argument?: unknown, options: PageOptions = {}): Promise<Result> => {
        const script = await bundle(file);
        const page = await browser.newPage();
        const server = await serve(script, options);
        const log: string[] = [];
        page.on("console", (message) => log.push(message.text()));
        page.on("pageerror", (error) => log.push(String(error)));
        try {
          // A page from localhost is a secure context, which WebGPU asks for.
          await page.goto(`http://localhost:${server.port}/`);
          return (await page.evaluate(
            async (exported: string, given: unknown) => {
              const module = (await import("/module.js" as string)) as Record<string, (given: unknown) => unknown>;
              return module[exported]!(given);
            },
            name,
            argument,
          )) as Result;
        } catch (error) {
          throw new Error(`in Chromium, ${name} of ${file.pathname}: ${(error as Error).message}\n${log.join("\n")}`);
        } finally {
          await page.close();
          await server.close();
        }
      },
      view: async <Result>(
        path: string,
        look: (page: Page, log: readonly string[]) => Promise<Result>,
      ): Promise<Result> => {
        const page = await browser.newPage();
        const log: string[] = [];
        page.on("console", (message) => log.push(message.text()));
        page.on("pageerror", (error) => log.push(String(error)));
        page.on("request", (request) => {
          if (!/^(file:|http:\/\/(localhost|127\.0\.0\.1):)/.test(request.url()))
            log.push(`asked for ${request.url()}`);
        });
        try {
          await page.setViewport({ width: 1200, height: 900 });
          await page.goto(path.startsWith("http") ? path : pathToFileURL(path).href);
          return await look(page, log);
        } finally {
          await page.close();
        }
      },
      close: () => browser.close(),
    };
  } catch (error) {
    const reason = (error as Error).message.trim().split("\n").slice(0, 3).join("; ");
    return { unavailable: `Chromium does not start: ${reason}` };
  }
}

/** The module and all it imports as one ES module for browsers. A Node import at the top of a file fails here. */
export async function bundle(file: URL): Promise<string> {
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(file)],
    bundle: true,
    write: false,
    format: "esm",
    platform: "browser",
    target: "es2022",
    logLevel: "silent",
  });
  return outputFiles[0]!.text;
}

async function serve(
  script: string,
  { isolated, policy }: PageOptions,
): Promise<{ port: number; close: () => Promise<void> }> {
  const server = createServer((request, response) => {
    const isModule = request.url === "/module.js";
    if (policy) response.setHeader("content-security-policy", policy);
    if (isolated) {
      response.setHeader("cross-origin-opener-policy", "same-origin");
      response.setHeader("cross-origin-embedder-policy", "require-corp");
    }
    response.setHeader("content-type", isModule ? "text/javascript" : "text/html");
    response.end(isModule ? script : "<!doctype html><title>hico-webgpu</title>");
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "localhost", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
