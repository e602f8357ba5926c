// A call between two people, with nothing but the types that openapi-typescript makes of /openapi.json.
// Each answer is used as its type says. A wrong description does not compile, or ends this program.

import createClient from "openapi-fetch";
import type { components, paths } from "./generated/api.js";

declare const process: { argv: string[] };

type Schemas = components["schemas"];
/** The data of each event by its name. */
type Events = Schemas["EventData"];

const url = process.argv[2]!;
const password = process.argv[3]!;

function check(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Error(what);
}

/** The data of an answer that is no refusal. */
function data<T>(answer: { data?: T; error?: { code: string; error: string }; response: Response }): T {
  if (answer.error !== undefined) throw new Error(`${answer.response.url}: ${answer.error.code}, ${answer.error.error}`);
  check(answer.data !== undefined, `${answer.response.url} has no body`);
  check(answer.response.headers.get("API-Version") === "1", "the header API-Version is missing");
  return answer.data;
}

/** A client with the token of a new session. */
async function logIn(username: string) {
  const anonymous = createClient<paths>({ baseUrl: url });
  const session = data(await anonymous.POST("/login", { body: { username, password } }));
  const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${session.token}` } });
  return { username: session.username, token: session.token, client };
}

/** An event, whose data is that of its name. */
type Event = { [Name in keyof Events]: { name: Name; data: Events[Name] } }[keyof Events];

/** The event stream of a person, one event at a time. It closes when its reader stops. */
async function* events(token: string): AsyncGenerator<Event, void> {
  const response = await fetch(`${url}/events`, { headers: { Authorization: `Bearer ${token}` } });
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const end = text.indexOf("\n\n");
      if (end < 0) {
        const { value, done } = await reader.read();
        if (done) return;
        text += decoder.decode(value, { stream: true });
        continue;
      }
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const field = (name: string) => lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1);
      const data = field("data");
      if (data !== undefined) yield { name: field("event"), data: JSON.parse(data) } as Event;
    }
  } finally {
    await reader.cancel();
  }
}

const refused = await createClient<paths>({ baseUrl: url }).POST("/login", { body: { username: "alice", password: "wrong" } });
check(refused.error?.code === "wrong_credentials", "a wrong password is refused");
// @ts-expect-error no route of this name
void (() => createClient<paths>().POST("/calls/start", {}));
// @ts-expect-error the channel is missing
void (() => createClient<paths>().POST("/calls/initiate", { body: {} }));
// @ts-expect-error no code of this route
check(refused.error.code !== "call_full", "the codes of a route are known");

const alice = await logIn("alice");
const bob = await logIn("Bob");
check(bob.username === "bob", "the registered spelling is the name");
const ofBob = events(bob.token);
const first = (await ofBob.next()).value;
check(first?.name === "snapshot" && first.data.calls.length === 0 && !first.data.lost, "a stream begins with a snapshot");

const call = data(await alice.client.POST("/calls/initiate", { body: { channel: "dm:bob:alice" } }));
check(call.participants.join() === "alice,bob", "everybody is a participant");
const again = await alice.client.POST("/calls/initiate", { body: { channel: "dm:bob:alice" } });
check(again.error?.code === "channel_has_live_call" && again.error.call_id === call.call_id, "the error names the live call");

let rang: Schemas["IncomingCall"] | undefined;
for await (const event of ofBob) {
  if (event.name === "incoming") {
    rang = event.data;
    break;
  }
}
check(rang?.call_id === call.call_id && rang.initiator === "alice", "the event says who calls");
const [incoming] = data(await bob.client.GET("/calls/incoming", { params: { query: { wait: 0 } } }));
check(incoming?.call_id === call.call_id && incoming.channel === "dm:alice:bob", "the call rings");

const params = { path: { call_id: call.call_id } };
const accepted = data(await bob.client.POST("/calls/{call_id}/accept", { params }));
check(accepted.status === "ok" && accepted.last_signal_id === 0, "bob is on the call");

for (const [from, to, type] of [[bob, alice, "offer"], [alice, bob, "answer"], [bob, alice, "ice_candidate"]] as const) {
  const payload = { from: from.username };
  data(await from.client.POST("/calls/{call_id}/signal", { params, body: { to: to.username, type, payload } }));
}
const query = { after: 0, wait: 5 };
const ofAlice = data(await alice.client.GET("/calls/{call_id}/signals", { params: { ...params, query } }));
check(ofAlice.map((signal) => signal.type).join() === "offer,ice_candidate", "alice has bob's signals");
const [answer] = data(await bob.client.GET("/calls/{call_id}/signals", { params: { ...params, query } }));
check(answer?.from === "alice" && JSON.stringify(answer.payload) === '{"from":"alice"}', "bob has alice's answer");

data(await alice.client.POST("/calls/{call_id}/media", {
  params: { ...params, query: { init: "1", mime: "video/webm" } },
  body: "head" as never,
  bodySerializer: (body) => body,
  headers: { "Content-Type": "application/octet-stream" },
}));
const media = data(await bob.client.GET("/calls/{call_id}/media", { params: { ...params, query: { sender: "alice" } } }));
check(media.mime_type === "video/webm" && atob(media.init ?? "") === "head", "bob has alice's recording");

const state = data(await bob.client.GET("/calls/{call_id}/state", { params }));
check(state.state === "active" && state.participants.every((person) => person.state === "accepted"), "both are on the call");
check(data(await bob.client.POST("/calls/{call_id}/end", { params })).status === "ok", "bob hangs up");
const over = await alice.client.POST("/calls/{call_id}/accept", { params });
check(over.error?.code === "call_finished", "the call is over");
const ended = data(await alice.client.GET("/calls/{call_id}/state", { params }));
check(ended.state === "ended" && ended.ended_reason === "hangup" && ended.ended_ts !== null, "alice sees the end");

const [past] = data(await alice.client.GET("/calls/history", { params: { query: { limit: 1 } } }));
check(past?.outcome === "answered" && past.participants.length === 2 && past.duration !== null, "the call is in the history");
check(data(await bob.client.GET("/me")).calls.length === 0, "no call is live");
check(data(await alice.client.POST("/logout")).status === "logged_out", "alice logs out");
const gone = await alice.client.GET("/me");
check(gone.response.status === 401 && gone.error?.code === "unauthorized", "her token is worth nothing");
console.log("tests/client/run: a generated client completed a call");
