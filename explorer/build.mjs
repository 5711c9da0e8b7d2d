/* Build the explorer: one source, a script for pages and a module for notebooks. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { build, transform } from "esbuild";

const out = process.argv[2] ?? "../hrvlab/atlas/built";
const hash = createHash("sha256");
for (const name of readdirSync("src").sort()) hash.update(`${name}\n`).update(readFileSync(`src/${name}`));
const styles = {
  name: "styles as text, minified",
  setup({ onLoad }) {
    onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(readFileSync(path, "utf8"), { loader: "css", minify: true });
      return { contents: code, loader: "text" };
    });
  },
};
const common = {
  bundle: true,
  minify: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  plugins: [styles],
  banner: { js: `/* hrvlab's explorer; built from explorer/src by make explorer. Source: ${hash.digest("hex")} */` },
};
await build({ ...common, entryPoints: ["src/page.js"], format: "iife", outfile: `${out}/explorer.js` });
await build({ ...common, entryPoints: ["src/widget.js"], format: "esm", outfile: `${out}/explorer.mjs` });
