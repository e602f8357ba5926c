import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { SERVER, STREAM, clock, refusal, reset, server, settle } from "./fakes.js";
import { Api, Refused, ServerGone } from "../../src/web/client/api.js";
import { Tokens, lifetimeOf } from "../../src/web/client/tokens.js";

/** An unsigned JWT: a client reads no signature. */
const jwt = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.x`;

/** A JWT that is valid for so many seconds from now. */
const fresh = (seconds, more = {}) => {
  const now = Math.floor(clock.now / 1000);
  return jwt({ iat: now, exp: now + seconds, ...more });
};

let api;

beforeEach(() => {
  api?.close();
  reset();
  server.on("GET", "/me", { username: "alice" });
});

test("requests carry the token, or the cookie of the page's own server", async () => {
  await new Api({ server: SERVER }).get("/me");
  await new Api({ server: SERVER, token: "fixed" }).get("/me");
  await new Api({ server: new URL(SERVER.slice(0, -1)), token: async () => "got" }).get("/me");
  assert.deepEqual(server.tokens, [null, "fixed", "got"]);
  assert.deepEqual(server.credentials, ["same-origin", "omit", "omit"]);
});

test("requests of the same moment share one token", async () => {
  let count = 0;
  api = new Api({ server: SERVER, token: async () => `token-${(count += 1)}` });
  await Promise.all([api.get("/me"), api.get("/me"), api.get("/me")]);
  assert.deepEqual(server.tokens, ["token-1", "token-1", "token-1"]);
});

test("a token that is refused is replaced once, and the request repeated", async () => {
  let count = 0;
  let signedOut = 0;
  api = new Api({ server: SERVER, token: async () => `token-${(count += 1)}` });
  api.on("signedOut", () => (signedOut += 1));
  server.on("GET", "/me", () => (server.tokens.at(-1) === "token-1" ? refusal(401, "unauthorized") : { username: "bob" }));
  assert.equal((await api.get("/me")).username, "bob");
  await Promise.all([api.get("/me"), api.get("/me")]);
  assert.deepEqual(server.tokens, ["token-1", "token-2", "token-2", "token-2"]);
  assert.equal(signedOut, 0);

  server.on("GET", "/me", refusal(401, "unauthorized"));
  await assert.rejects(api.get("/me"), (error) => error instanceof Refused && error.status === 401);
  assert.deepEqual(server.tokens.slice(4), ["token-2", "token-3"], "no third attempt");
  assert.equal(signedOut, 1);
});

test("a fixed token that is refused ends the session", async () => {
  let signedOut = 0;
  api = new Api({ server: SERVER, token: "fixed" });
  api.on("signedOut", () => (signedOut += 1));
  server.on("GET", "/me", refusal(401, "unauthorized"));
  await assert.rejects(api.get("/me"), Refused);
  assert.deepEqual([server.tokens, signedOut], [["fixed"], 1]);
});

test("a function that has no token says that nobody is signed in, and one that fails is a server that is gone", async () => {
  let signedOut = 0;
  const errors = [];
  api = new Api({ server: SERVER, token: () => null });
  api.on("signedOut", () => (signedOut += 1));
  await assert.rejects(api.get("/me"), (error) => error instanceof Refused && error.status === 401);
  assert.deepEqual([server.requests, signedOut], [[], 1]);

  api = new Api({ server: SERVER, token: () => Promise.reject(new Error("The host is gone.")) });
  api.on("error", (error) => errors.push(error.message));
  await assert.rejects(api.post("/x"), (error) => error instanceof ServerGone && !error.mayHaveArrived);
  assert.deepEqual([server.requests, errors], [[], ["The host is gone."]]);
});

test("a JWT is replaced ahead of its expiry", async () => {
  for (const [lifetime, renewal] of [[3_600, 3_540], [100, 75]]) {
    reset();
    let count = 0;
    let renewed = 0;
    const tokens = new Tokens(() => ((count += 1), fresh(lifetime)));
    tokens.on("renewed", () => (renewed += 1));
    await tokens.get(null);
    await clock.advance((renewal - 1) * 1_000);
    assert.deepEqual([count, renewed], [1, 0], `${lifetime} s`);
    await clock.advance(2_000);
    assert.deepEqual([count, renewed], [2, 1], `${lifetime} s`);
    tokens.close();
    await clock.advance(lifetime * 1_000);
    assert.equal(count, 2, "a closed client needs no token");
  }
});

test("a renewal that fails is repeated until it succeeds", async () => {
  let count = 0;
  const errors = [];
  const tokens = new Tokens(() => {
    count += 1;
    return count === 2 || count === 3 ? Promise.reject(new Error("gone")) : fresh(100);
  });
  tokens.on("error", (error) => errors.push(error.message));
  await tokens.get(null);
  await clock.advance(76_000);
  assert.deepEqual([count, errors], [2, ["gone"]]);
  await clock.advance(20_000);
  assert.deepEqual([count, errors], [4, ["gone", "gone"]]);
  tokens.close();
});

test("the lifetime of a token does not need a clock that is right", () => {
  const now = clock.now / 1000;
  const near = (found, expected) => assert.ok(Math.abs(found - expected) < 2, `${found} is not ${expected}`);
  near(lifetimeOf(fresh(300)), 300);
  near(lifetimeOf(jwt({ exp: now + 300 })), 300);
  near(lifetimeOf(jwt({ iat: now - 200, exp: now + 100 })), 100); // from a cache
  near(lifetimeOf(jwt({ iat: now - 7_200, exp: now - 6_900 })), 300); // this device is two hours ahead
  near(lifetimeOf(jwt({ iat: now + 7_200, exp: now + 7_500 })), 300); // this device is two hours behind
  for (const token of ["", "opaque", "a.b.c", jwt({}), jwt({ exp: "soon" }), jwt({ exp: now - 1 }), jwt(null)]) {
    assert.equal(lifetimeOf(token), null, token);
  }
});

test("a stream can be opened with a token", async () => {
  api = new Api({ server: SERVER, token: "fixed" });
  server.on("GET", "/events", STREAM);
  const body = await api.open("/events", new AbortController().signal);
  assert.ok(body.getReader());
  server.on("GET", "/events", refusal(403, "forbidden"));
  await assert.rejects(api.open("/events", new AbortController().signal), (error) => error.code === "forbidden");
  await settle();
});
