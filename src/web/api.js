// The REST API: how the server is asked, and errors with a sentence for people.
//
// The browser adds the cookie of POST /login by itself. A POST with a cookie must be JSON, also when it has nothing to say:
// that, and the Origin that browsers add, is how the server knows that no page of another site sent it.

/** The server refused: `status` and `code` are for programs, `message` is a sentence for people. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error ?? `The server answered with status ${status}.`);
    this.status = status;
    this.code = body?.code ?? "unknown";
    this.body = body ?? {};
  }
}

/** The server cannot be reached, or asks to be asked again later (503). Nothing was done. */
export class ServerGone extends Error {
  constructor() {
    super("The server cannot be reached.");
  }
}

/** Called whenever the server says that nobody is signed in. */
let onSignedOut = () => {};

export function whenSignedOut(listener) {
  onSignedOut = listener;
}

async function ask(method, path, { body, type = "application/json", keepalive = false, timeout = 20_000 } = {}) {
  let response;
  try {
    response = await fetch(path, {
      method,
      keepalive,
      cache: "no-store",
      headers: method === "POST" ? { "content-type": type } : {},
      body: method === "POST" ? body : undefined,
      signal: AbortSignal.timeout(timeout),
    });
  } catch {
    throw new ServerGone();
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) {
    return answer;
  }
  if (response.status === 503) {
    throw new ServerGone();
  }
  if (response.status === 401 && path !== "/login") {
    onSignedOut();
  }
  throw new Refused(response.status, answer);
}

export const get = (path, options) => ask("GET", path, options);

export const post = (path, body = {}, options = {}) => ask("POST", path, { ...options, body: JSON.stringify(body) });

/** Raw bytes, for the media routes. */
export const postBytes = (path, body) => ask("POST", path, { body, type: "application/octet-stream" });

export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Asks again while the server is gone, for as long as `wanted()` says so; what the server refuses is thrown at once.
 * The pauses grow from a quarter of a second to four.
 */
export async function insist(action, wanted) {
  for (let wait = 250; ; wait = Math.min(wait * 2, 4_000)) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof ServerGone) || !wanted()) {
        throw error;
      }
    }
    await pause(wait);
    if (!wanted()) {
      throw new ServerGone();
    }
  }
}
