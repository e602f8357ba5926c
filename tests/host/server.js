// An example of a host application: a chat with users and a channel of its own, whose page has calls. Its back end signs
// the tokens with which its users call, and learns of every call by webhooks. It needs Node, and nothing else.
//
// Before it starts, an admin of the server of calls lets it in:
//   minimost-calls issuer add chat --algorithm HS256 --key FILE
//   minimost-calls setting set allowed_origins '["http://localhost:3000"]'

import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";

// The address of the server of calls, the secret and the lifetime of tokens, and the secret of webhooks, `whsec_…`.
const { CALLS, TOKEN_SECRET, TOKEN_SECONDS = "300", WEBHOOK_SECRET = "", PORT = "3000" } = process.env;

const USERS = { ada: "Ada Lovelace", grace: "Grace Hopper" };
const CHANNELS = [{ id: "general", title: "General" }];
const PAGE = readFileSync(new URL("page.html", import.meta.url), "utf8").replaceAll("https://calls.example.org", CALLS);

/** The events of calls, by the id of their webhook: one may arrive twice. */
const events = new Map();

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A token for a user of this chat: a JSON Web Token (RFC 7519) with their channels. The library gets the next in time. */
function callsToken(user) {
  const now = Math.floor(Date.now() / 1000);
  const person = { sub: user, name: USERS[user], channels: CHANNELS };
  const claims = { iss: "chat", ...person, iat: now, exp: now + Number(TOKEN_SECONDS) };
  const signed = `${base64url({ alg: "HS256", typ: "JWT" })}.${base64url(claims)}`;
  return `${signed}.${createHmac("sha256", TOKEN_SECRET).update(signed).digest("base64url")}`;
}

/** Whether the server of calls has sent a webhook, and not long ago (Standard Webhooks). */
function isGenuine({ "webhook-id": id, "webhook-timestamp": time, "webhook-signature": signatures = "" }, body) {
  const secret = Buffer.from(WEBHOOK_SECRET.replace("whsec_", ""), "base64");
  const expected = Buffer.from(`v1,${createHmac("sha256", secret).update(`${id}.${time}.${body}`).digest("base64")}`);
  const isExpected = (signature) => signature.length === expected.length && timingSafeEqual(signature, expected);
  const isFresh = Math.abs(Date.now() / 1000 - Number(time)) < 300;
  return isFresh && signatures.split(" ").some((signature) => isExpected(Buffer.from(signature)));
}

const routes = {
  "GET /": () => [200, PAGE, { "content-type": "text/html; charset=utf-8" }],
  // Stands for a login.
  "GET /login": ({ query }) => [303, "", { location: "/", "set-cookie": `user=${query.get("user")}; HttpOnly` }],
  "GET /calls-token": ({ user }) => (Object.hasOwn(USERS, user) ? [200, callsToken(user)] : [401, ""]),
  "GET /call-events": () => [200, JSON.stringify([...events.values()]), { "content-type": "application/json" }],
  "POST /webhooks": ({ headers, body }) => {
    if (!isGenuine(headers, body)) {
      return [401, ""];
    }
    events.set(headers["webhook-id"], JSON.parse(body));
    return [204, ""];
  },
};

const server = createServer(async (request, response) => {
  const { pathname, searchParams: query } = new URL(request.url, "http://localhost");
  const user = /(?:^|; )user=(\w+)/.exec(request.headers.cookie)?.[1] ?? "";
  const route = routes[`${request.method} ${pathname}`] ?? (() => [404, ""]);
  const [status, body, headers] = route({ query, user, headers: request.headers, body: await text(request) });
  response.writeHead(status, headers).end(body);
});
server.listen(Number(PORT), "localhost", () => console.log(`http://localhost:${server.address().port}`));
