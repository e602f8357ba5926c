// The package of the client library: packed, installed into an empty folder, type-checked and imported.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import test, { after, before } from "node:test";
import { fileURLToPath } from "node:url";

const checks = fileURLToPath(new URL(".", import.meta.url));
const repository = join(checks, "../..");
const folder = mkdtempSync(join(tmpdir(), "minimost-calls-package-"));
const client = join(folder, "checkout/src/web/client");
const user = join(folder, "user");

const run = (command, parameters, cwd) => {
  const PATH = `${join(checks, "node_modules/.bin")}${delimiter}${process.env.PATH}`;
  try {
    return execFileSync(command, parameters, { cwd, encoding: "utf8", stdio: "pipe", env: { ...process.env, PATH } });
  } catch (error) {
    throw new Error(`${command} ${parameters.join(" ")}:\n${error.stdout}${error.stderr}`);
  }
};

before(() => {
  // A copy, because packing writes into the folder.
  cpSync(join(repository, "src/web/client"), client, { recursive: true });
  cpSync(join(repository, "LICENSE"), join(folder, "checkout/LICENSE"));
  run("npm", ["pack", "--pack-destination", folder], client);
  const [tarball] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
  mkdirSync(user);
  writeFileSync(join(user, "package.json"), JSON.stringify({ private: true, type: "module" }));
  run("npm", ["install", "--offline", "--no-audit", "--no-fund", join(folder, tarball)], user);
});

after(() => rmSync(folder, { recursive: true }));

test("packing leaves the folder as it was", () => {
  assert.deepEqual(readdirSync(client).sort(), readdirSync(join(repository, "src/web/client")).sort());
});

test("the package has the modules, their types and the license, and the version of the server", () => {
  const installed = join(user, "node_modules/minimost-calls");
  for (const name of readdirSync(client).filter((name) => name.endsWith(".js"))) {
    assert.ok(existsSync(join(installed, name)), name);
    assert.ok(existsSync(join(installed, "types", name.replace(/js$/, "d.ts"))), name);
  }
  assert.ok(existsSync(join(installed, "README.md")));
  assert.equal(readFileSync(join(installed, "LICENSE"), "utf8"), readFileSync(join(repository, "LICENSE"), "utf8"));
  const { version, dependencies } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  assert.equal(dependencies, undefined);
  const [, expected] = /^version = "(.*)"$/m.exec(readFileSync(join(repository, "Cargo.toml"), "utf8"));
  assert.equal(version, expected);
});

/** Writes a module in TypeScript, and checks its types. */
function check(name, text) {
  writeFileSync(join(user, name), text);
  const options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom,dom.iterable"];
  return run("tsc", [...options, name], user);
}

test("a user of the package gets its types", () => {
  check("right.ts", `
    import { connect, DeviceError, Refused, type Calls } from "minimost-calls";
    import { MinimostCall } from "minimost-calls/element";

    const calls: Calls = connect({ server: new URL("https://calls.example.org"), token: async () => "token" });
    const remove: () => void = calls.on("incoming", ({ call_id: id, initiator }) => {
      const text: string = initiator + id;
      calls.answer(id, { camera: true, signal: new AbortController().signal }).catch((error: unknown) => {
        const sentence = error instanceof Refused ? error.code : error instanceof DeviceError ? error.message : text;
        return sentence;
      });
    });
    calls.on("state", (state) => state === "signed-out" && remove());
    const call = await calls.call("dm:alice:bob", { microphone: false });
    call.on("change", () => call.streams.map(({ name, kind, stream }): [string, "camera" | "screen", MediaStream] => [name, kind, stream]));
    await call.share(new MediaStream());
    await call.share(false);
    call.mute();
    await call.camera(true);
    await call.invite("carol");
    const outcomes: string[] = (await calls.history({ limit: 5 })).map(({ outcome }) => outcome);
    const unseen: number = (await calls.missed()).filter(({ seen }) => !seen).length;
    await Promise.all([call.leave(), call.end(), calls.decline("c1"), calls.close()]);
    const element = document.querySelector<MinimostCall>("minimost-call");
    if (element) {
      element.token = () => null;
      element.channel = outcomes[unseen];
      element.calls = calls;
    }
  `);
});

test("mistakes are errors", () => {
  const mistakes = [
    `calls.on("incomming", () => {});`,
    `calls.on("incoming", ({ id }) => id);`,
    `calls.call("dm:alice:bob", { video: true });`,
    `connect({ server: "https://x", token: 7 });`,
    `connect({ token: "x" });`,
    `calls.call("x").then((call) => call.share("screen"));`,
  ];
  const expected = mistakes.map((mistake) => `// @ts-expect-error\n${mistake}\n`);
  const imported = `import { connect } from "minimost-calls";\nconst calls = connect({ server: "https://x" });\n`;
  check("wrong.ts", imported + expected.join(""));
});

test("Node can import it", () => {
  const script = `
    import { Calls, connect, DeviceError, Refused, ServerGone } from "minimost-calls";
    import { MinimostCall } from "minimost-calls/element";
    const { state, me } = new Calls({ server: "https://calls.example.org" });
    console.log(JSON.stringify([typeof connect, typeof MinimostCall, new ServerGone(true).mayHaveArrived, state, me]));
    console.log(new Refused(409, { error: "A sentence.", code: "x" }).code, typeof DeviceError);`;
  const printed = run("node", ["--input-type=module", "--eval", script], user);
  assert.equal(printed, '["function","function",true,"connecting",null]\nx function\n');
});
