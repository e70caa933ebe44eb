/** Reads the page's configuration and fills in what an older page may leave out. */

/** @import {Config, Cue} from "./types.js" */

/** @type {Omit<Config, "api">} */
const DEFAULTS = {
  csrf: "",
  reader: "",
  question: "Is the marked tumor real or synthetic?",
  scale: [
    { value: 1, label: "Definitely real", key: "1" },
    { value: 2, label: "Probably real", key: "2" },
    { value: 3, label: "Possibly real", key: "3" },
    { value: 4, label: "Possibly synthetic", key: "4" },
    { value: 5, label: "Probably synthetic", key: "5" },
    { value: 6, label: "Definitely synthetic", key: "6" },
  ],
  windows: [{ name: "Soft tissue", center: 40, width: 400 }],
  tools: { mpr: true, length: true, hu: true },
  guideMarker: "box",
  askCues: false,
  cues: [],
  allowComment: true,
  rendering: "auto",
  exitUrl: "/",
  pauseUrl: "",
  signInUrl: "",
};

/**
 * @param {Record<string, any>} raw
 * @returns {Config}
 */
export function readConfig(raw) {
  if (!raw || typeof raw.api !== "string" || !raw.api) {
    throw new Error("The page carries no address of the reading service. Reload the page.");
  }
  const config = /** @type {Config} */ ({ ...DEFAULTS, ...raw });
  config.api = raw.api.replace(/\/+$/, "");
  config.tools = { ...DEFAULTS.tools, ...raw.tools };
  config.cues = (raw.cues ?? []).map(asCue);
  config.pauseUrl = raw.pauseUrl || config.exitUrl;
  return config;
}

/**
 * @param {string | Partial<Cue>} cue
 * @returns {Cue}
 */
function asCue(cue) {
  if (typeof cue === "string") return { value: cue, label: cue };
  const value = String(cue.value ?? cue.label ?? "");
  return { value, label: cue.label ?? value };
}
