/** The reading service over HTTP, with its failures sorted by what the page must do about them. */

/** @import {Worklist, Answer, Draft, Config} from "./types.js" */

/**
 * signin   401, or a stale CSRF token: the reader signs in again
 * conflict 409: the case already has an answer
 * refused  403: not this reader's case, paused, consent missing
 * busy     429, 5xx: try again later
 * offline  no answer at all
 * invalid  any other 4xx: trying again will not help
 * @typedef {"signin"|"conflict"|"refused"|"busy"|"offline"|"invalid"} FailureKind
 */

export class ApiError extends Error {
  /** @param {FailureKind} kind @param {string} message @param {number} status @param {any} [body] */
  constructor(kind, message, status, body) {
    super(message);
    this.kind = kind;
    this.status = status;
    this.body = body;
  }
}

/**
 * @param {number} status @param {any} body parsed JSON, or null where the answer was not JSON
 * @returns {FailureKind}
 */
export function sortFailure(status, body) {
  if (status === 401) return "signin";
  // Django answers a stale CSRF token with an HTML page; our own refusals are always JSON.
  if (status === 403) return body && !/csrf/i.test(body.detail ?? "") ? "refused" : "signin";
  if (status === 409) return "conflict";
  if (status === 408 || status === 425 || status === 429 || status >= 500) return "busy";
  return "invalid";
}

const TIMEOUT_MS = 20_000;

export class Api {
  /** @param {Config} config */
  constructor(config) {
    this.base = config.api;
    this.csrf = config.csrf;
  }

  /** @returns {Promise<Worklist>} */
  worklist() {
    return this.#send("GET", "/worklist");
  }

  /** @param {Answer} answer @returns {Promise<{status: string, worklist?: Worklist}>} */
  judge(answer) {
    return this.#send("POST", "/judgments", answer);
  }

  /** @param {string} token @param {Draft} draft @param {boolean} leaving the page is going away */
  saveDraft(token, draft, leaving = false) {
    return this.#send("PUT", "/draft", { token, draft }, leaving);
  }

  /**
   * @param {string} method @param {string} path @param {any} [body] @param {boolean} [keepalive]
   * @returns {Promise<any>}
   */
  async #send(method, path, body, keepalive = false) {
    /** @type {Response} */
    let response;
    let text;
    try {
      response = await fetch(this.base + path, {
        method,
        keepalive,
        credentials: "same-origin",
        cache: "no-store",
        redirect: "manual",
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: {
          Accept: "application/json",
          "X-CSRFToken": this.csrf,
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      text = await response.text();
    } catch (error) {
      throw new ApiError("offline", String(error), 0);
    }
    // A redirect of a JSON address can only lead to the sign-in page.
    if (response.type === "opaqueredirect") throw new ApiError("signin", "redirected", 302);
    const parsed = parse(text);
    if (response.ok) return parsed;
    const kind = sortFailure(response.status, parsed);
    throw new ApiError(kind, parsed?.detail ?? `HTTP ${response.status}`, response.status, parsed);
  }
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
