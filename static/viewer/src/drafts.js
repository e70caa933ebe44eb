/** The choice that is not final yet: kept in this browser at once, on the server soon. */

/** @import {Case, Draft} from "./types.js" */
/** @import {Api, ApiError} from "./api.js" */
/** @import {Store} from "./store.js" */

export class Drafts {
  /** @param {Api} api @param {Store} store */
  constructor(api, store) {
    this.api = api;
    this.store = store;
  }

  /** The newer of the server's draft (another computer) and this browser's. @param {Case} c */
  async of(c) {
    /** @type {Draft|undefined} */
    let own;
    try {
      own = await this.store.get("drafts", c.token);
    } catch {
      own = undefined;
    }
    if (!c.draft?.at) return own ?? c.draft ?? null;
    return own?.at && own.at > c.draft.at ? own : c.draft;
  }

  /**
   * @param {string} token @param {Draft} draft @param {boolean} leaving the page is going away
   * @returns {Promise<boolean>} false: the reader is signed out
   */
  async save(token, draft, leaving) {
    void this.store.put("drafts", token, draft).catch(() => {});
    try {
      await this.api.saveDraft(token, draft, leaving);
      return true;
    } catch (thrown) {
      // Best effort: without a network the copy here serves.
      return /** @type {ApiError} */ (thrown).kind !== "signin";
    }
  }

  /** @param {string} token */
  drop(token) {
    void this.store.remove("drafts", token).catch(() => {});
  }
}
